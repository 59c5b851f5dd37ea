"""The one guarded move of a run, and the fence on everything else written for it."""

from __future__ import annotations

from typing import Any

from django.db.models import F

from events import services as events
from events.states import EventType
from orchestration.exceptions import InvalidTransition
from runtime.exceptions import StaleRun
from runtime.models import TaskRun
from runtime.states import FINAL, RunStatus, sources

# What changes all the time or is of no interest outside: whoever edits a run need not read it again for these.
_QUIET = frozenset({"log_offset", "log_seq", "pid", "pid_start_ticks", "boot_id"})


@events.unit_of_work()
def move_run(
    run: TaskRun, to: RunStatus, *, actor: str, reason: str = "", fence: bool = False, **changes: Any
) -> TaskRun:
    """Move a run to another status, with other fields in the same write.

    `fence` demands that epoch and owner are still those of `run`: a status alone would let a stalled attempt finish
    in the name of its successor. Raises StaleRun or InvalidTransition.
    """
    before = run.status
    rows = TaskRun.objects.filter(pk=run.pk, status=before, status__in=sources(to), epoch=run.epoch)
    if fence:
        rows = rows.filter(owner=run.owner)
    written = _written(to, changes)
    if not rows.update(**written):
        raise _refusal(run, to, fence)
    remember(run, written)
    record_move(run, before=before, actor=actor, reason=reason)
    return run


def _written(to: RunStatus, changes: dict[str, Any]) -> dict[str, Any]:
    """Return what a move writes."""
    settled: dict[str, Any] = {"next_retry_at": None}
    if to in FINAL or to == RunStatus.INTERRUPTED:
        settled |= {"owner": "", "lease_until": None}
    return {"status": to, "version": F("version") + 1, **settled, **changes}


def remember(run: TaskRun, written: dict[str, Any]) -> None:
    """Bring a run to what was written; what the database has worked out is read when somebody asks for it."""
    for name, value in written.items():
        if hasattr(value, "resolve_expression"):
            vars(run).pop(name, None)
        else:
            setattr(run, name, value)


def _refusal(run: TaskRun, to: RunStatus, fence: bool) -> StaleRun | InvalidTransition:
    epoch, task = run.epoch, run.task
    run.refresh_from_db()
    # To refresh is to forget the task, which the caller goes on working with.
    run.task = task
    if fence or run.epoch != epoch:
        return StaleRun(None, status=run.status, epoch=run.epoch)
    return InvalidTransition(f"Run {run.pk} is {run.status}; it cannot become {to}.", status=run.status)


def record_move(run: TaskRun, *, before: str, actor: str, reason: str = "") -> None:
    """Record that a run has changed its status; `before` is empty for a new one."""
    events.append(
        EventType.RUN_STATUS_CHANGED,
        project_id=run.task.project_id,
        task_id=run.task_id,
        run_id=run.pk,
        agent_id=run.agent_id,
        actor=actor,
        trace_id=run.trace_id,
        before=before,
        after=run.status,
        attempt=run.attempt,
        epoch=run.epoch,
        reason=reason,
        error_code=run.error_code,
        next_retry_at=run.next_retry_at.isoformat() if run.next_retry_at else None,
    )


def write_fenced(run: TaskRun, **changes: Any) -> None:
    """Write fields of a run in the name of one start of it. Raises StaleRun, and records the attempt to write."""
    raised = {} if changes.keys() <= _QUIET else {"version": F("version") + 1}
    if TaskRun.objects.owned(run.owner).filter(pk=run.pk, epoch=run.epoch).update(**changes, **raised):
        for name, value in changes.items():
            setattr(run, name, value)
        return
    raise StaleRun


@events.unit_of_work()
def record_stale(run: TaskRun, *, action: str) -> None:
    """Record that a superseded start tried to write."""
    events.append(
        EventType.RUN_STALE_WRITE_REJECTED,
        project_id=run.task.project_id,
        task_id=run.task_id,
        run_id=run.pk,
        agent_id=run.agent_id,
        actor=f"scheduler:{run.owner}",
        trace_id=run.trace_id,
        epoch=run.epoch,
        owner=run.owner,
        action=action,
    )
