"""What a person may do to a task: pause, resume, retry, cancel. Each command leaves one audit event, refused or not."""

from __future__ import annotations

from django.utils import timezone

from inbox import services as inbox
from inbox.states import ItemType
from orchestration.exceptions import InvalidTransition, VersionConflict
from orchestration.models import Task
from orchestration.services.interventions import audited
from orchestration.services.tasks import mark_task, move_task
from orchestration.states import TaskStatus
from runtime.exceptions import NothingToResume, RunNotActive
from runtime.models import TaskRun
from runtime.services.finishing import alert_dependents
from runtime.services.moves import move_run
from runtime.services.resuming import CONTINUE, resume_run
from runtime.states import ACTIVE, RunStatus


@audited
def pause_task(task: Task, *, actor: str, expected_version: int | None = None) -> Task:
    """Hold a task that has not begun; ask a running one to stop at a safe point, its session kept."""
    if task.status not in {TaskStatus.TODO, TaskStatus.RUNNING}:
        raise _refused(task, "paused")
    return mark_task(task, actor=actor, expected_version=expected_version, is_held=True)


@audited
def resume_task(task: Task, *, actor: str, expected_version: int | None = None) -> Task:
    """Let a held task go, or continue the session of an interrupted one. Raises NothingToResume."""
    if task.is_held and task.status in {TaskStatus.TODO, TaskStatus.RUNNING}:
        return mark_task(task, actor=actor, expected_version=expected_version, is_held=False)
    run = active_run(task)
    if task.status != TaskStatus.BLOCKED or run is None or run.status != RunStatus.INTERRUPTED:
        raise NothingToResume(f"Task {task.pk} is {task.status}; nothing of it waits to go on. Retry it instead.")
    _check_version(task, expected_version)
    inbox.close_obsolete(task, actor=actor, item_types={ItemType.AWAIT_USER_INPUT})
    resume_run(run, prompt=run.prompt or CONTINUE, actor=actor, reason="resumed")
    task.refresh_from_db()
    return task


@audited
def retry_task(task: Task, *, actor: str, expected_version: int | None = None) -> Task:
    """Put a failed, blocked or cancelled task back to todo."""
    if task.status not in {TaskStatus.FAILED, TaskStatus.BLOCKED, TaskStatus.CANCELLED}:
        raise _refused(task, "retried")
    move_task(task, TaskStatus.TODO, actor=actor, expected_version=expected_version, reason="retried", is_held=False)
    _cancel_waiting_run(task, actor=actor)
    inbox.close_obsolete(task, actor=actor)
    return task


@audited
def cancel_task(task: Task, *, actor: str, expected_version: int | None = None) -> Task:
    """Cancel a task: at once where no process works on it, else by asking the process to stop."""
    run = active_run(task)
    if run is not None and _has_process(run):
        if task.cancel_requested_at is not None:
            return task
        return mark_task(task, actor=actor, expected_version=expected_version, cancel_requested_at=timezone.now())
    move_task(
        task, TaskStatus.CANCELLED, actor=actor, expected_version=expected_version, reason="cancelled", is_held=False
    )
    _cancel_waiting_run(task, actor=actor)
    inbox.close_obsolete(task, actor=actor)
    alert_dependents(task, None, actor=actor)
    return task


def cancel_run(run: TaskRun, *, actor: str) -> TaskRun:
    """Cancel the task a run works on. Raises RunNotActive."""
    if run.status not in ACTIVE:
        raise RunNotActive
    cancel_task(run.task, actor=actor)
    run.refresh_from_db()
    return run


def active_run(task: Task) -> TaskRun | None:
    """Return the run of a task that has not ended; its task is the object given."""
    run = TaskRun.objects.active().filter(task=task).select_related("agent").first()
    if run is not None:
        run.task = task
    return run


def _has_process(run: TaskRun) -> bool:
    """Tell whether a scheduler may be starting the run or has started it."""
    return run.status == RunStatus.RUNNING or (run.status == RunStatus.QUEUED and run.owner != "")


def _cancel_waiting_run(task: Task, *, actor: str) -> None:
    run = active_run(task)
    if run is not None:
        move_run(run, RunStatus.CANCELLED, actor=actor, reason="cancelled", fence=True, ended_at=timezone.now())


def _check_version(task: Task, expected_version: int | None) -> None:
    if expected_version is not None and task.version != expected_version:
        raise VersionConflict(None, version=task.version, status=task.status)


def _refused(task: Task, verb: str) -> InvalidTransition:
    return InvalidTransition(f"Task {task.pk} is {task.status}; it cannot be {verb}.", status=task.status)
