"""Promote: a retry whose time has come joins the queue."""

from __future__ import annotations

from events import services as events
from orchestration.exceptions import Conflict
from orchestration.services.locks import lock_tasks
from runtime import leases
from runtime.models import TaskRun
from runtime.services.moves import move_run
from runtime.states import RunStatus


def promote_due(*, actor: str) -> int:
    """Queue the retries that are due; return how many."""
    due = list(TaskRun.objects.due(leases.now()).filter(task__is_held=False).select_related("task")[:16])
    # Mostly there are none: then nobody has to wait for a write lock of ours.
    return _promote_all(due, actor) if due else 0


@events.unit_of_work()
def _promote_all(due: list[TaskRun], actor: str) -> int:
    # A command that looks at the run of a task finds it promoted or not, and not while it happens.
    lock_tasks(run.task_id for run in due)
    return sum(_promote(run, actor) for run in due)


def _promote(run: TaskRun, actor: str) -> bool:
    try:
        move_run(run, RunStatus.QUEUED, actor=actor, reason="retry due")
    except Conflict:  # a cancel, or another scheduler, was faster
        return False
    return True
