"""Runs and what they said."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.enums import ActionVariant
from unfold.paginator import InfinitePaginator

from orchestration.admin.service import command_rows
from runtime.admin.diff import shown_diff
from runtime.admin.log import SHOWN, last_lines, text_of
from runtime.models import RunLog, TaskRun
from runtime.services.commands import cancel_run
from runtime.states import RunStatus
from security.admin.base import (
    DialogForm,
    ReadOnlyAdmin,
    back_to,
    detail_action,
    found,
    labelled,
    pretty_json,
    prose,
    usd,
)

COLOURS = {
    RunStatus.QUEUED: "",
    RunStatus.RUNNING: "info",
    RunStatus.RETRY_SCHEDULED: "warning",
    RunStatus.INTERRUPTED: "warning",
    RunStatus.SUCCEEDED: "success",
    RunStatus.FAILED: "danger",
    RunStatus.CANCELLED: "",
}


@admin.register(TaskRun)
class TaskRunAdmin(ReadOnlyAdmin[TaskRun]):
    list_display = ("id", "task", "attempt", "state", "agent", "cost", "tokens", "turns", "took", "error_code")
    list_display_links = ("id", "task")
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("task__project", RelatedDropdownFilter),
        ("agent", RelatedDropdownFilter),
    )
    list_filter_submit = True
    list_select_related = ("task", "agent")
    search_fields = ("task__title", "branch", "session_id", "trace_id", "error_code")
    date_hierarchy = "created_at"
    ordering = ("-id",)
    actions = ("cancel",)
    actions_detail = ("cancel_one",)
    change_form_outer_after_template = "admin/runtime/taskrun/log.html"
    readonly_fields = ("said", "error", "told", "cost", "cost_cap", "tokens", "cached", "took", "created_at")
    fieldsets = (
        (None, {"fields": ("task", ("status", "agent", "attempt"), "said", "error_code", "error")}),
        ("Use", {"fields": (("cost", "cost_cap", "turns"), ("tokens", "cached", "took"))}),
        ("When", {"fields": (("created_at", "started_at", "ended_at"), ("next_retry_at", "retry_of"))}),
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
                "fields": ("epoch", "owner", "lease_until", "host_id", "boot_id", "pid", "run_dir"),
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

    @labelled("status", COLOURS, ordering="status")
    def state(self, run: TaskRun) -> tuple[str, str]:
        return run.status, run.get_status_display()

    @admin.display(description="summary")
    def said(self, run: TaskRun) -> SafeString | str:
        return prose(run.summary)

    @admin.display(description="error")
    def error(self, run: TaskRun) -> SafeString | str:
        return prose(run.error_message)

    @admin.display(description="told at its next start")
    def told(self, run: TaskRun) -> SafeString | str:
        return prose(run.prompt)

    @admin.display(description="cost", ordering="cost_usd")
    def cost(self, run: TaskRun) -> str:
        return usd(run.cost_usd, 4)

    @admin.display(description="may cost")
    def cost_cap(self, run: TaskRun) -> str:
        return usd(run.cost_cap_usd)

    @admin.display(description="tokens in / out", ordering="token_in")
    def tokens(self, run: TaskRun) -> str:
        return f"{run.token_in:,} / {run.token_out:,}"

    @admin.display(description="cache read / write")
    def cached(self, run: TaskRun) -> str:
        return f"{run.token_cache_read:,} / {run.token_cache_write:,}"

    @admin.display(description="took", empty_value="-")
    def took(self, run: TaskRun) -> str | None:
        """From the first start to the end, or to now."""
        if run.started_at is None:
            return None
        seconds = round(((run.ended_at or timezone.now()) - run.started_at).total_seconds())
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        if (run := context.get("original")) is not None:
            context["log"] = [(line, text_of(line)) for line in last_lines(run)]
            context["log_shown"] = SHOWN
            context["diff"] = shown_diff(run)
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.action(description="Cancel", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[TaskRun]) -> None:
        command_rows(request, queryset.select_related("task"), cancel_run, "cancelled or asked to stop")

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


@admin.register(RunLog)
class RunLogAdmin(ReadOnlyAdmin[RunLog]):
    list_display = ("run", "seq", "time", "kind", "text")
    list_display_links = ("run", "seq")
    list_filter = (("run", AutocompleteSelectFilter), ("kind", ChoicesDropdownFilter))
    list_filter_submit = True
    list_select_related = ("run",)
    ordering = ("-id",)
    # As with the event log: no end, so no counting and no other order.
    sortable_by = ()
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    paginator = InfinitePaginator
    list_per_page = 100
    fields = ("run", "seq", "at", "kind", "details")
    readonly_fields = ("details",)

    @admin.display(description="at")
    def time(self, line: RunLog) -> SafeString:
        at = timezone.localtime(line.at)
        return format_html('<span style="white-space: nowrap">{}</span>', at.strftime("%Y-%m-%d %H:%M:%S"))

    @admin.display(description="text")
    def text(self, line: RunLog) -> SafeString:
        return format_html('<span style="overflow-wrap: anywhere">{}</span>', text_of(line)[:200])

    @admin.display(description="body")
    def details(self, line: RunLog) -> SafeString:
        return pretty_json(line.body)
