"""Runs: the facts, what they said, what they changed."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.enums import ActionVariant

from events.models import Event
from orchestration.admin.bulk import command_rows
from runtime.admin.diff import shown_diff
from runtime.admin.log import transcript
from runtime.admin.progress import used, with_progress
from runtime.models import RunLog, StuckFinding, TaskRun
from runtime.services.commands import cancel_run
from runtime.states import ACTIVE, RunStatus
from security.admin.base import (
    DialogForm,
    ReadOnlyAdmin,
    RelatedFilter,
    back_to,
    detail_action,
    found,
    labelled,
)
from security.admin.shown import changelist_url, prose, took, usd

COLOURS = {
    RunStatus.QUEUED: "",
    RunStatus.RUNNING: "info",
    RunStatus.RETRY_SCHEDULED: "warning",
    RunStatus.INTERRUPTED: "warning",
    RunStatus.SUCCEEDED: "success",
    RunStatus.FAILED: "danger",
    RunStatus.CANCELLED: "",
}
# Attempts at the same task that the page of a run names.
_SIBLINGS = 50


@admin.register(TaskRun)
class TaskRunAdmin(ReadOnlyAdmin[TaskRun]):
    project_path = "task__project"
    list_display = ("id", "task", "attempt", "state", "agent", "cost", "tokens", "turned", "took", "error_code")
    list_display_links = ("id", "task")
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("task__project", RelatedFilter),
        ("task", RelatedFilter),
        ("agent", RelatedFilter),
    )
    list_filter_submit = True
    list_select_related = ("task", "agent")
    search_fields = ("task__title", "branch", "session_id", "trace_id", "error_code")
    ordering = ("-id",)
    actions = ("cancel",)
    actions_detail = ("cancel_one",)
    change_form_outer_before_template = "admin/runtime/taskrun/run.html"
    readonly_fields = ("told",)
    fieldsets = (
        (
            "Work",
            {
                "classes": ("collapse",),
                "fields": ("workspace", "branch", "base_commit", "head_commit", "merge_commit", "told"),
            },
        ),
        (
            "Process",
            {
                "classes": ("collapse",),
                "fields": ("owner", "lease_until", "host_id", "boot_id", "pid", "run_dir"),
            },
        ),
        (
            "Identity",
            {
                "classes": ("collapse",),
                "fields": ("session_id", "trace_id", "idempotency_key", "log_seq", "log_offset", "version"),
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[TaskRun]:
        return with_progress(super().get_queryset(request)).select_related("task__project", "agent")

    @labelled("status", COLOURS, ordering="status")
    def state(self, run: TaskRun) -> tuple[str, str]:
        return run.status, run.get_status_display()

    @admin.display(description="told at its next start")
    def told(self, run: TaskRun) -> SafeString | str:
        return prose(run.prompt)

    @admin.display(description="cost", ordering="cost_usd")
    def cost(self, run: TaskRun) -> str:
        return usd(used(run).cost_usd, 4)

    @admin.display(description="tokens in / out", ordering="token_in")
    def tokens(self, run: TaskRun) -> str:
        return f"{used(run).token_in:,} / {used(run).token_out:,}"

    @admin.display(description="turns", ordering="turns")
    def turned(self, run: TaskRun) -> int:
        return used(run).turns

    @admin.display(description="took")
    def took(self, run: TaskRun) -> str:
        """From the first start to the end, or to now."""
        return took(run.started_at, run.ended_at)

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        """Offer to cancel what has not ended."""
        run = self.get_object(request, object_id)
        is_over = run is None or run.status not in ACTIVE
        return [] if is_over else super().get_actions_detail(request, object_id)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        if (run := context.get("original")) is not None:
            context |= _shown(run, before=request.GET.get("before", ""))
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.action(description="Cancel", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[TaskRun]) -> None:
        command_rows(request, queryset, cancel_run, "cancelled or asked to stop")

    @detail_action(
        "Cancel",
        icon="cancel",
        title="Cancel this run and its task?",
        text="An agent at work is asked to stop, and ended if it does not listen.",
        variant=ActionVariant.DANGER,
    )
    def cancel_one(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        run = found(self, request, object_id)
        command_rows(request, [run], cancel_run, "cancelled or asked to stop")
        return back_to(request, run)


def _told(finding: StuckFinding) -> str:
    """Return how far the matter has gone."""
    if finding.item_id is not None:
        return "a person was asked"
    if finding.muted_until is not None:
        return f"left alone until {timezone.localtime(finding.muted_until):%H:%M:%S}"
    return "the agent was nudged" if finding.nudged_at else "the agent is about to be nudged"


def _shown(run: TaskRun, *, before: str) -> dict[str, Any]:
    """Return what the templates of the page show beside the fields."""
    number = int(before) if before.isascii() and before.isdecimal() and len(before) < 10 else None
    spent = used(run)
    attempts = TaskRun.objects.filter(task=run.task_id).order_by("-attempt")[:_SIBLINGS]
    return {
        "run": run,
        "run_state": (run.get_status_display(), COLOURS[RunStatus(run.status)]),
        "run_took": took(run.started_at, run.ended_at),
        "run_cost": usd(spent.cost_usd, 4),
        "run_turns": spent.turns,
        "run_tokens": f"{spent.token_in:,} in, {spent.token_out:,} out",
        "run_cached": f"{run.token_cache_read:,} read, {run.token_cache_write:,} written",
        "run_cap": usd(run.cost_cap_usd) if run.cost_cap_usd is not None else "",
        "attempts": [(run_, COLOURS[RunStatus(run_.status)]) for run_ in reversed(attempts)],
        "findings": [(found, _told(found)) for found in run.findings.order_by("found_at")],
        "log": transcript(run, before=number),
        "lines_url": changelist_url(RunLog, run__id__exact=run.pk),
        "events_url": changelist_url(Event, run_id=run.pk),
        "trace_url": changelist_url(Event, q=run.trace_id),
        "diff": shown_diff(run),
    }
