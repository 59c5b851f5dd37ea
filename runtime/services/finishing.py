"""Finish: turn the way a start of a run ended into the next state of run, task and inbox, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import structlog
from django.utils import timezone

from events import services as events
from events import trace
from inbox import services as inbox
from inbox.states import ItemType
from orchestration.exceptions import Conflict, InvalidTransition
from orchestration.models import Project, Task
from orchestration.services.locks import lock_tasks
from orchestration.services.tasks import move_task
from orchestration.states import TaskStatus
from runtime import allowances, leases, retries, slots
from runtime.database import DATABASE_AWAY
from runtime.models import TaskRun
from runtime.rundir import ExitRecord
from runtime.services.breaking import heed_ends
from runtime.services.claims import inherited
from runtime.services.completing import COMPLETED, Ending, complete
from runtime.services.moves import move_run, record_move
from runtime.services.resuming import resume_run
from runtime.services.settling import settle_day, settle_ledger, settled
from runtime.states import RunStatus
from runtime.stuck.episodes import close_items
from sql.prepared import PreparedQuery

log = structlog.get_logger("bbb.runtime")

_projects = PreparedQuery(lambda ids: Project.objects.filter(pk__in=ids))

_GO_ON = "\n\nIts work is kept on its branch. Raise the limit and retry the task: the agent goes on where it stopped."


@events.unit_of_work()
def finish_run(run: TaskRun, record: ExitRecord, *, head_commit: str = "") -> TaskRun:
    """End this start of a run as its exit record says. Fenced: raises StaleRun when the start was superseded."""
    actor = f"scheduler:{run.owner}"
    held = _lock([run])
    task, seen = run.task, record
    record = _within_limits(run, task, _honouring_intents(run, task, record))
    if record.outcome in COMPLETED:
        complete([Ending(run, record, head_commit)], actor=actor)
    else:
        _STAGES[record.outcome](run, task, record, actor, head_commit)
    _settle([Ending(run, seen)], held, actor=actor)
    return run


def finish_together(endings: Sequence[Ending]) -> bool:
    """End runs of one scheduler whose agents have done their work, in one transaction; False, with nothing written, when that
    cannot be done. Then each is to be finished for itself: one that was superseded, say, is no reason to lose the others.
    """
    known = [(ending.run, dict(vars(ending.run))) for ending in endings]
    try:
        _finish_together(endings)
    except DATABASE_AWAY:
        raise
    except Exception as error:
        for run, fields in known:
            vars(run).clear()
            vars(run).update(fields)
        # A run that was superseded is nothing new; anything else is a fault of ours, which finishing them alone may hide.
        tell = log.info if isinstance(error, Conflict) else log.exception
        tell("finished_one_by_one", runs=[run.pk for run, _ in known], error=str(error))
        return False
    return True


@events.unit_of_work()
def _finish_together(endings: Sequence[Ending]) -> None:
    [owner] = {ending.run.owner for ending in endings}
    held = _lock([ending.run for ending in endings])
    for run, record in [(ending.run, ending.record) for ending in endings]:
        if _honouring_intents(run, run.task, record).outcome not in COMPLETED:
            raise InvalidTransition(f"Run {run.pk} is not to end as its agent says.")
    complete(endings, actor=f"scheduler:{owner}")
    _settle(endings, held, actor=f"scheduler:{owner}")


def _lock(runs: Sequence[TaskRun]) -> list[str]:
    """Lock slots and tasks of runs; give these their tasks as they are now, and return the keys of the slots."""
    held = slots.lock_for(runs)
    tasks = lock_tasks(run.task_id for run in runs)
    projects = {project.pk: project for project in _projects({task.project_id for task in tasks.values()})}
    for run in runs:
        run.task = tasks[run.task_id]
        run.task.project = projects[run.task.project_id]
    return held


def _settle(endings: Sequence[Ending], held: list[str], *, actor: str) -> None:
    """Do what each end of a run takes, whatever became of it."""
    used = [(ending.run, ending.record.usage) for ending in endings]
    close_items([ending.run for ending in endings], actor=actor)
    slots.give_back(held)
    settle_ledger(used)
    settle_day(used)
    heed_ends([(ending.run, ending.record) for ending in endings], actor=actor)


def _honouring_intents(run: TaskRun, task: Task, record: ExitRecord) -> ExitRecord:
    """What a person asked for decides, whatever the outcome was; only finished work outlives a pause."""
    if task.cancel_requested_at is not None:
        return replace(record, outcome="cancelled")
    if task.is_held and record.outcome == "failed":
        return replace(record, outcome="interrupted")
    if record.code == "process_gone" and not task.is_held and retries.is_crash_loop(run):
        message = (
            f"The runner died {retries.CRASHES} times within {retries.CRASH_WINDOW}. See its stderr in {run.run_dir}."
        )
        return replace(record, outcome="failed", code="crash_loop", message=message)
    if record.outcome == "cancelled":
        # Nobody asked for it here: the run was stopped from outside.
        return replace(record, outcome="interrupted")
    return record


def _within_limits(run: TaskRun, task: Task, record: ExitRecord) -> ExitRecord:
    """What would go on by itself ends here when the task's own limits leave nothing to go on with."""
    if not task.limits or task.is_held or not _goes_on(run, record):
        return record
    unit = allowances.task_spent_by(task, record.usage)
    if not unit:
        return record
    message = f"The task's limit of {unit} is used up. {record.code or record.outcome}: {record.message}"
    return replace(record, outcome="failed", code="task_limit", message=message)


def _goes_on(run: TaskRun, record: ExitRecord) -> bool:
    if record.outcome == "interrupted":
        return not inbox.is_waiting_for_answer(run.pk)
    return record.outcome == "failed" and retries.delay_s(run, record) is not None


def _end(run: TaskRun, to: RunStatus, record: ExitRecord, actor: str, **changes: object) -> None:
    changes = {"session_id": record.session_id or run.session_id, **changes}
    if to != RunStatus.INTERRUPTED:
        changes["ended_at"] = timezone.now()
    reason = record.code or record.outcome
    move_run(run, to, actor=actor, reason=reason, fence=True, **settled(record.usage), **changes)


def _block(run: TaskRun, task: Task, record: ExitRecord, actor: str, _head: str) -> None:
    """The agent cannot go on by itself: its session waits for what a person says."""
    _end(run, RunStatus.INTERRUPTED, record, actor, summary=record.message)
    move_task(task, TaskStatus.BLOCKED, actor=actor, trace_id=run.trace_id, reason=record.message or "blocked")
    inbox.ask(
        ItemType.AWAIT_USER_INPUT,
        task=task,
        title=f"Blocked: {task.title}",
        content=record.message,
        dedupe_key=f"block:{run.pk}.{run.epoch}",
        run_id=run.pk,
        actor=actor,
        trace_id=run.trace_id,
    )


def _park(run: TaskRun, task: Task, record: ExitRecord, actor: str, _head: str) -> None:
    """A question outlived its wait: free the slot; the answer, whenever it comes, resumes the session."""
    _end(run, RunStatus.INTERRUPTED, record, actor)
    move_task(task, TaskStatus.BLOCKED, actor=actor, trace_id=run.trace_id, reason="waiting for an answer")
    # The answer may have been given in the moment the runner stopped waiting: then it was never read.
    item = task.items.filter(dedupe_key=ask_key(run, record.message)).first()
    if item is not None and item.resolution == "answered":
        resume_run(run, prompt=item.user_input, actor=actor, reason="answered")


def _interrupt(run: TaskRun, task: Task, record: ExitRecord, actor: str, _head: str) -> None:
    """Stopped at a safe point: blocked if a person paused it, else queued again at once."""
    _end(run, RunStatus.INTERRUPTED, record, actor)
    if task.is_held:
        move_task(task, TaskStatus.BLOCKED, actor=actor, trace_id=run.trace_id, reason="paused")
        return
    if inbox.is_waiting_for_answer(run.pk):
        # As if it had been parked: resumed without the answer, the agent would only ask again.
        move_task(task, TaskStatus.BLOCKED, actor=actor, trace_id=run.trace_id, reason="waiting for an answer")
        return
    move_run(run, RunStatus.QUEUED, actor=actor, reason="interrupted", prompt=run.prompt)


def _cancel(run: TaskRun, task: Task, record: ExitRecord, actor: str, _head: str) -> None:
    _end(run, RunStatus.CANCELLED, record, actor)
    move_task(task, TaskStatus.CANCELLED, actor=actor, trace_id=run.trace_id, reason="cancelled")
    inbox.close_obsolete(task, actor=actor)
    alert_dependents(task, run, actor=actor)


def _fail(run: TaskRun, task: Task, record: ExitRecord, actor: str, head_commit: str) -> None:
    kept = {"head_commit": head_commit} if head_commit else {}
    _end(run, RunStatus.FAILED, record, actor, error_code=record.code, error_message=record.message, **kept)
    delay_s = retries.delay_s(run, record)
    if delay_s is not None:
        _schedule_retry(run, delay_s, actor)
        return
    move_task(task, TaskStatus.FAILED, actor=actor, trace_id=run.trace_id, reason=record.code)
    inbox.close_obsolete(task, actor=actor, item_types={ItemType.AWAIT_USER_INPUT})
    is_capped = record.code in allowances.REACHED
    inbox.ask(
        ItemType.ALERT,
        task=task,
        title=f"{'Stopped at a limit' if is_capped else 'Failed'}: {task.title}",
        content=f"{record.code}: {record.message}" + (_GO_ON if is_capped else ""),
        dedupe_key=f"failed:{task.pk}",
        run_id=run.pk,
        actor=actor,
        trace_id=run.trace_id,
    )
    alert_dependents(task, run, actor=actor)


def _schedule_retry(run: TaskRun, delay_s: float, actor: str) -> None:
    """Make the next attempt wait for its time: a row of its own, with its own cost and log."""
    following = TaskRun.objects.create(
        task=run.task,
        agent=run.agent,
        attempt=run.attempt + 1,
        retry_of=run,
        status=RunStatus.RETRY_SCHEDULED,
        idempotency_key=f"task-{run.task_id}-attempt-{run.attempt + 1}",
        trace_id=trace.new(),
        next_retry_at=leases.now() + timedelta(seconds=delay_s),
        prompt=run.prompt,
        **inherited(run, run.agent),
    )
    record_move(following, before="", actor=actor, reason=run.error_code)


def alert_dependents(task: Task, run: TaskRun | None, *, actor: str) -> None:
    """Say that tasks stay put because what they wait for will not be done. The person decides."""
    waiting = task.dependents.exclude(task__status=TaskStatus.CANCELLED).count()
    if not waiting:
        return
    inbox.ask(
        ItemType.ALERT,
        task=task,
        title=f"{waiting} waiting for: {task.title}",
        content=f"The task is {task.status}, so {waiting} task(s) that depend on it will not start. "
        "Retry it, or remove the dependency.",
        dedupe_key=f"dependents:{task.pk}",
        run_id=run.pk if run else None,
        actor=actor,
    )


def ask_key(run: TaskRun, ask_id: str) -> str:
    """Return the dedupe key of one question of a run."""
    return f"ask:{run.pk}:{ask_id}"


_STAGES = {
    "blocked": _block,
    "parked": _park,
    "interrupted": _interrupt,
    "cancelled": _cancel,
    "failed": _fail,
}
