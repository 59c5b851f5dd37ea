"""Promote: a retry whose time has come joins the queue."""

from __future__ import annotations

from events import services as events
from orchestration.exceptions import Conflict
from runtime import leases
from runtime.models import TaskRun
from runtime.services.moves import move_run
from runtime.states import RunStatus


@events.unit_of_work()
def promote_due(*, actor: str) -> int:
    """Queue the retries that are due; return how many."""
    due = TaskRun.objects.due(leases.now()).filter(task__is_held=False).select_related("task")[:16]
    return sum(_promote(run, actor) for run in due)


def _promote(run: TaskRun, actor: str) -> bool:
    try:
        move_run(run, RunStatus.QUEUED, actor=actor, reason="retry due")
    except Conflict:  # a cancel, or another scheduler, was faster
        return False
    return True
