"""Commands on the pages of tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.enums import ActionVariant

from inbox.services import approve_task, request_changes
from orchestration import admin as orchestration
from orchestration.admin.service import command_rows
from orchestration.models import Task
from orchestration.states import TaskStatus
from runtime.services import commands
from security.admin.base import DialogForm, back_to, detail_action, found
from security.admin.words import WordsForm

_S = TaskStatus
# What it makes sense to offer; whether it is carried out is for the services to say.
_OFFERED: dict[str, set[TaskStatus]] = {
    "pause_one": {_S.TODO, _S.RUNNING},
    "resume_one": {_S.TODO, _S.RUNNING, _S.BLOCKED},
    "retry_one": {_S.FAILED, _S.BLOCKED, _S.CANCELLED},
    "request_changes_one": {_S.REVIEW},
    "approve_one": {_S.REVIEW},
    "cancel_one": set(_S) - {_S.DONE, _S.CANCELLED},
}

# Pausing and approving need the layers above orchestration, which may not import them; so the page is registered
# once more, here, with what these layers add to it.
admin.site.unregister(Task)


@admin.register(Task)
class TaskAdmin(orchestration.TaskAdmin):
    actions = ("pause", "resume", "retry", "cancel", "approve")
    actions_detail = tuple(_OFFERED)
    readonly_fields = (*orchestration.TaskAdmin.readonly_fields, "attempts", "trail")
    fieldsets = (*orchestration.TaskAdmin.fieldsets, ("History", {"fields": ("attempts", "trail")}))

    @admin.display(description="runs")
    def attempts(self, task: Task) -> SafeString | str:
        rows = [
            (reverse("admin:runtime_taskrun_change", args=[run.pk]), run.attempt, run.get_status_display())
            for run in task.runs.order_by("attempt")
        ]
        return format_html_join(", ", '<a class="text-link" href="{}">attempt {}: {}</a>', rows) or "-"

    @admin.display(description="events")
    def trail(self, task: Task) -> SafeString | str:
        url = reverse("admin:events_event_changelist")
        return format_html('<a class="text-link" href="{}?task_id={}">what happened to this task</a>', url, task.pk)

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        offered = super().get_actions_detail(request, object_id)
        task = self.get_object(request, object_id)
        return [action for action in offered if task is not None and _fits(action.action_name, task)]

    @admin.action(description="Pause", permissions=["operate"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        command_rows(request, queryset, commands.pause_task, "paused")

    @admin.action(description="Resume", permissions=["operate"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        command_rows(request, queryset, commands.resume_task, "resumed")

    @admin.action(description="Retry", permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        command_rows(request, queryset, commands.retry_task, "put back to todo")

    @admin.action(description="Cancel", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        command_rows(request, queryset, commands.cancel_task, "cancelled or asked to stop")

    @admin.action(description="Approve", permissions=["operate"])
    def approve(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        command_rows(request, queryset, approve_task, "approved")

    @detail_action("Pause", icon="pause", title="Pause this task?", text="An agent at work stops at a safe point.")
    def pause_one(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        return self._one(request, object_id, self.pause)

    @detail_action("Resume", icon="play_arrow", title="Let this task go on?")
    def resume_one(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        return self._one(request, object_id, self.resume)

    @detail_action("Retry", icon="replay", title="Put this task back to todo?")
    def retry_one(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        return self._one(request, object_id, self.retry)

    @detail_action("Cancel", icon="cancel", title="Cancel this task?", variant=ActionVariant.DANGER)
    def cancel_one(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        return self._one(request, object_id, self.cancel)

    @detail_action(
        "Approve",
        icon="check",
        title="Approve the work?",
        text="It is merged into the base branch.",
        variant=ActionVariant.PRIMARY,
    )
    def approve_one(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        return self._one(request, object_id, self.approve)

    @detail_action("Request changes", icon="edit", title="What should be different?", form=WordsForm)
    def request_changes_one(self, request: HttpRequest, form: WordsForm, object_id: str) -> HttpResponse:
        task = found(self, request, object_id)

        def send_back(task: Task, *, actor: str) -> Task:
            return request_changes(task, changes=form.cleaned_data["words"], actor=actor)

        command_rows(request, [task], send_back, "sent back")
        return back_to(request, task)

    def _one(
        self, request: HttpRequest, object_id: str, act: Callable[[HttpRequest, QuerySet[Task]], None]
    ) -> HttpResponse:
        task = found(self, request, object_id)
        act(request, Task.objects.filter(pk=task.pk))
        return back_to(request, task)


def _fits(action_name: str, task: Task) -> bool:
    name = action_name.removeprefix("orchestration_task_")
    if name in {"pause_one", "resume_one"} and task.status != TaskStatus.BLOCKED:
        return task.status in _OFFERED[name] and task.is_held == (name == "resume_one")
    return task.status in _OFFERED[name]
