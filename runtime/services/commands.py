"""What a person may do to a task: pause, resume, retry, cancel. Each command leaves one audit event, refused or not.

A command gets the task locked and as it is now, so that nothing comes between its look at the run and what it does.
"""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from inbox import services as inbox
from inbox.states import ItemType
from orchestration.exceptions import InvalidTransition
from orchestration.models import Task
from orchestration.services.interventions import audited, require_version
from orchestration.services.rows import stale
from orchestration.services.tasks import mark_task, move_task
from orchestration.states import TaskStatus
from runtime.exceptions import NothingToResume, RunNotActive
from runtime.models import TaskRun
from runtime.services.finishing import alert_dependents
from runtime.services.moves import move_run
from runtime.services.resuming import CONTINUE, resume_run
from runtime.states import ACTIVE, RunStatus

RETRYABLE = frozenset({TaskStatus.FAILED, TaskStatus.BLOCKED, TaskStatus.CANCELLED})


@audited("pause")
def pause_task(task: Task, *, actor: str, expected_version: int | None = None) -> Task:
    """Hold a task that has not begun; ask a running one to stop at a safe point, its session kept."""
    require_version(task, expected_version)
    if task.status not in {TaskStatus.TODO, TaskStatus.RUNNING}:
        raise refused(task, "paused")
    return task if task.is_held else mark_task(task, actor=actor, is_held=True)


@audited("resume")
def resume_task(task: Task, *, actor: str, expected_version: int | None = None) -> Task:
    """Let a held task go, or continue the session of an interrupted one. Raises NothingToResume, DependenciesUnmet."""
    require_version(task, expected_version)
    if task.is_held:
        return mark_task(task, actor=actor, is_held=False)
    run = active_run(task)
    if task.status != TaskStatus.BLOCKED or run is None or run.status != RunStatus.INTERRUPTED:
        raise NothingToResume(f"Task {task.pk} is {task.status}; nothing of it waits to go on. Retry it instead.")
    inbox.close_obsolete(task, actor=actor, item_types={ItemType.AWAIT_USER_INPUT})
    resume_run(run, prompt=run.prompt or CONTINUE, actor=actor, reason="resumed")
    return task


@audited("retry")
def retry_task(task: Task, *, actor: str, expected_version: int | None = None) -> Task:
    """Put a failed, blocked or cancelled task back to todo; let an attempt that waits for its time begin now."""
    require_version(task, expected_version)
    if hasten(task, actor=actor):
        return task
    if task.status not in RETRYABLE:
        raise refused(task, "retried")
    return begin_anew(task, actor=actor)


@audited("cancel")
def cancel_task(task: Task, *, actor: str, expected_version: int | None = None) -> Task:
    """Cancel a task: at once where no process works on it, else by asking the process to stop."""
    require_version(task, expected_version)
    return _cancel(task, actor=actor)


def cancel_run(run: TaskRun, *, actor: str, expected_version: int | None = None) -> TaskRun:
    """Cancel the task a run works on, unless the run has ended by now. Raises RunNotActive, VersionConflict."""
    _cancel_through(run.task, actor=actor, run=run, expected_version=expected_version)
    run.refresh_from_db()
    return run


@audited("cancel")
def _cancel_through(task: Task, *, actor: str, run: TaskRun, expected_version: int | None) -> Task:
    run.refresh_from_db()
    if expected_version is not None and expected_version != run.version:
        raise stale(run)
    if run.status not in ACTIVE:
        raise RunNotActive
    return _cancel(task, actor=actor)


def _cancel(task: Task, *, actor: str) -> Task:
    """Do what cancelling takes; what is cancelled, or asked to stop, is left as it is."""
    run = active_run(task)
    if run is not None and _has_process(run):
        return task if task.cancel_requested_at else mark_task(task, actor=actor, cancel_requested_at=timezone.now())
    return task if task.status == TaskStatus.CANCELLED else cancel_at_once(task, actor=actor)


def cancel_at_once(task: Task, *, actor: str) -> Task:
    """Cancel a task on which no process works. Runs under its lock."""
    move_task(task, TaskStatus.CANCELLED, actor=actor, reason="cancelled")
    _cancel_waiting_run(task, actor=actor)
    inbox.close_obsolete(task, actor=actor)
    alert_dependents(task, None, actor=actor)
    return task


def begin_anew(task: Task, *, actor: str) -> Task:
    """Put a task back to todo and give up what waits of it. Runs inside a command."""
    move_task(task, TaskStatus.TODO, actor=actor, reason="retried")
    _cancel_waiting_run(task, actor=actor)
    inbox.close_obsolete(task, actor=actor)
    return task


def waits_for_retry(task: Task) -> bool:
    """Tell whether the next attempt at a task is there and only waits for its time."""
    return task.runs.filter(status=RunStatus.RETRY_SCHEDULED).exists()


def hasten(task: Task, *, actor: str, **changes: Any) -> bool:
    """Make a scheduled attempt due now, because a person does not want to wait; False when there is none.

    It is the attempt that was coming anyway, so there is one of it; a pause of the task is over. Runs inside a command.
    """
    run = active_run(task)
    if run is None or run.status != RunStatus.RETRY_SCHEDULED:
        return False
    if task.is_held:
        mark_task(task, actor=actor, is_held=False)
    move_run(run, RunStatus.QUEUED, actor=actor, reason="retried by a person", **changes)
    return True


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


def refused(task: Task, verb: str) -> InvalidTransition:
    """Return the refusal of a command that the present status does not allow."""
    return InvalidTransition(f"Task {task.pk} is {task.status}; it cannot be {verb}.", status=task.status)
