"""Commands on the pages of tasks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.enums import ActionVariant

from events.models import Event
from inbox.models import InboxItem
from inbox.services import approve_task, request_changes
from orchestration import admin as orchestration
from orchestration.admin.bulk import command_rows
from orchestration.admin.tasks import COLOURS
from orchestration.models import Comment, Task
from orchestration.services.tasks import update_task
from orchestration.states import TaskStatus
from runtime.admin.runs import COLOURS as RUN_COLOURS
from runtime.services import commands, deletion
from runtime.services.running import run_task
from runtime.states import RunStatus
from runtime.waiting import explain
from security.admin.base import DialogForm, back_to, detail_action, found
from security.admin.shown import changelist_url
from security.admin.words import WordsForm

_S = TaskStatus
# What it makes sense to offer; whether it is carried out is for the services to say.
_OFFERED: dict[str, set[TaskStatus]] = {
    "run_one": {_S.TODO, _S.FAILED, _S.BLOCKED, _S.CANCELLED},
    "pause_one": {_S.TODO, _S.RUNNING},
    "resume_one": {_S.TODO, _S.RUNNING, _S.BLOCKED},
    "retry_one": {_S.FAILED, _S.BLOCKED, _S.CANCELLED},
    "request_changes_one": {_S.REVIEW},
    "approve_one": {_S.REVIEW},
    "cancel_one": set(_S) - {_S.DONE, _S.CANCELLED},
}

# Attempts that the page of a task names.
_ATTEMPTS = 50

# Pausing and approving need the layers above orchestration, which may not import them; so the page is registered
# once more, here, with what these layers add to it.
admin.site.unregister(Task)


@admin.register(Task)
class TaskAdmin(orchestration.TaskAdmin):
    actions = ("run", "pause", "resume", "retry", "approve", "cancel", "archive", "restore")
    actions_detail = tuple(_OFFERED)
    change_form_outer_before_template = "admin/runtime/task.html"

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        if (task := context.get("original")) is not None:
            context |= _shown(task)
        return super().render_change_form(request, context, *args, **kwargs)

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        offered = super().get_actions_detail(request, object_id)
        task = self.get_object(request, object_id)
        return [action for action in offered if task is not None and _fits(action.action_name, task)]

    def delete(self, row: Task, *, actor: str) -> None:
        deletion.delete_task(row, actor=actor)

    @admin.action(description="Run next", permissions=["operate"])
    def run(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        command_rows(request, queryset, run_task, "queued")

    @admin.action(description="Pause", permissions=["operate"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        command_rows(request, queryset, commands.pause_task, "paused")

    @admin.action(description="Resume", permissions=["operate"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        command_rows(request, queryset, commands.resume_task, "resumed")

    @admin.action(description="Retry", permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        command_rows(request, queryset, commands.retry_task, "to be tried again")

    @admin.action(description="Cancel", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        command_rows(request, queryset, commands.cancel_task, "cancelled or asked to stop")

    @admin.action(description="Approve", permissions=["operate"])
    def approve(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        command_rows(request, queryset, approve_task, "approved")

    @admin.action(description="Archive", permissions=["operate"])
    def archive(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        command_rows(request, queryset, partial(update_task, is_archived=True), "archived")

    @admin.action(description="Take out of the archive", permissions=["operate"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        command_rows(request, queryset, partial(update_task, is_archived=False), "taken out of the archive")

    @detail_action(
        "Run", icon="rocket_launch", title="Run this task next?", text="It starts before all else that waits."
    )
    def run_one(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        return self._one(request, object_id, self.run)

    @detail_action("Pause", icon="pause", title="Pause this task?", text="An agent at work stops at a safe point.")
    def pause_one(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        return self._one(request, object_id, self.pause)

    @detail_action("Resume", icon="play_arrow", title="Let this task go on?")
    def resume_one(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        return self._one(request, object_id, self.resume)

    @detail_action("Retry", icon="replay", title="Try this task again?")
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


def _shown(task: Task) -> dict[str, Any]:
    """Return what the page says of a task beside its fields."""
    attempts = task.runs.order_by("-attempt")[:_ATTEMPTS]
    return {
        "task": task,
        "task_state": (task.get_status_display(), COLOURS[TaskStatus(task.status)]),
        "task_wait": explain(task),
        "attempts": [(run, RUN_COLOURS[RunStatus(run.status)]) for run in reversed(attempts)],
        "events_url": changelist_url(Event, task_id=task.pk),
        "items_url": changelist_url(InboxItem, task__id__exact=task.pk),
        "comments_url": changelist_url(Comment, task__id__exact=task.pk),
    }


def _fits(action_name: str, task: Task) -> bool:
    name = action_name.removeprefix("orchestration_task_")
    if name in {"pause_one", "resume_one"} and task.status != TaskStatus.BLOCKED:
        return task.status in _OFFERED[name] and task.is_held == (name == "resume_one")
    if name in {"run_one", "retry_one"} and task.status == TaskStatus.RUNNING:
        return commands.waits_for_retry(task)
    return task.status in _OFFERED[name]
