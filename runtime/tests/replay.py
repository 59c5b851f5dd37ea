"""The event log as an oracle: what it says that the tables hold, and what it tells that must not have happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from events.models import Event
from events.states import EventType
from orchestration import states as task_states
from orchestration.models import Task
from orchestration.states import TaskStatus
from runtime import states
from runtime.invariants import differences
from runtime.models import TaskRun
from runtime.states import ACTIVE, RunStatus


@dataclass(frozen=True)
class TaskState:
    """A task, as far as the log tells of it."""

    status: str
    is_held: bool = False
    is_cancel_requested: bool = False
    is_approved: bool = False


@dataclass(frozen=True)
class RunState:
    task_id: int
    attempt: int
    status: str
    epoch: int


@dataclass
class History:
    """What a log leads to, and every breach of the rules on the way there."""

    tasks: dict[int, TaskState] = field(default_factory=dict)
    runs: dict[int, RunState] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)
    """The last version of each task that the log names."""
    started: Counter[int] = field(default_factory=Counter)
    """The epoch of each run's last start."""
    audits: Counter[tuple[str, int, str, str]] = field(default_factory=Counter)
    """How often each (actor, task, command, outcome) is on record."""
    breaches: list[str] = field(default_factory=list)
    cursor: int = 0


def replay(log: Iterable[Event], history: History | None = None) -> History:
    """Walk a log from its beginning, or on from where `history` ends. Reads no table; no project may approve by itself."""
    history = history or History()
    for event in log:
        if handle := _HANDLERS.get(EventType(event.type)):
            handle(history, event)
        history.cursor = event.pk
    return history


def read_on(history: History | None = None) -> History:
    """Replay what the log holds beyond what `history` knows."""
    history = history or History()
    return replay(Event.objects.after(history.cursor), history)


def disagreements() -> list[str]:
    """Return all that is wrong with log and tables; nothing, when the system has kept its promises."""
    return [*untold(History()), *map(str, differences())]


def untold(history: History) -> list[str]:
    """Return what the tables hold beside the log, and what it tells that must not have happened; `history` reads on."""
    read_on(history)
    tasks = list(Task.objects.all())
    held = {task.pk: _task_state(task) for task in tasks}
    runs = {run.pk: _run_state(run.task_id, run.attempt, run.status, run.epoch) for run in TaskRun.objects.all()}
    return [
        *history.breaches,
        *_differences("task", history.tasks, held),
        *_differences("run", history.runs, runs),
        *(f"task {task.pk} has an older version than its event" for task in tasks if _is_behind(task, history)),
        *(f"task {task.pk} is {task.status} before what it depends on" for task in tasks if _is_early(task)),
    ]


def _task_state(task: Task) -> TaskState:
    return TaskState(task.status, task.is_held, task.cancel_requested_at is not None, task.approved_at is not None)


def _is_behind(task: Task, history: History) -> bool:
    return task.version < history.versions.get(task.pk, 0)


def _is_early(task: Task) -> bool:
    return task.unmet_dependencies > 0 and task.status in {TaskStatus.RUNNING, TaskStatus.REVIEW, TaskStatus.DONE}


def _run_state(task_id: int, attempt: int, status: str, epoch: int) -> RunState:
    """Leave out the epoch of a queued run: a claim raises it and is no move, so the log tells of it at the start."""
    return RunState(task_id, attempt, status, 0 if status == RunStatus.QUEUED else epoch)


def _task_created(history: History, event: Event) -> None:
    if event.task_id in history.tasks:
        history.breaches.append(f"event {event.pk}: task {event.task_id} was created twice")
    history.tasks[_id(event.task_id)] = TaskState(TaskStatus.TODO)
    _take_version(history, event)


def _task_updated(history: History, event: Event) -> None:
    _take_version(history, event)
    fields = event.payload["fields"]
    if "cancel_requested_at" in fields:
        _change(history, event, is_cancel_requested=True)
    if "approved_at" in fields:
        _change(history, event, is_approved=True)


def _task_moved(history: History, event: Event) -> None:
    task_id, before, after = _id(event.task_id), event.payload["before"], event.payload["after"]
    if (known := history.tasks[task_id].status) != before:
        history.breaches.append(f"event {event.pk}: task {task_id} went from {before} and was {known}")
    if after not in task_states.MOVES[TaskStatus(before)]:
        history.breaches.append(f"event {event.pk}: task {task_id} may not go from {before} to {after}")
    # What was asked of the old status is answered by leaving it.
    history.tasks[task_id] = TaskState(after)
    _take_version(history, event)


def _commanded(history: History, event: Event) -> None:
    command, outcome = event.payload["command"], event.payload["outcome"]
    history.audits[event.actor, _id(event.task_id), command, outcome] += 1
    if outcome == "applied" and command in {"pause", "resume"}:
        _change(history, event, is_held=command == "pause")


def _run_moved(history: History, event: Event) -> None:
    run_id, payload = _id(event.run_id), event.payload
    before, after, epoch = payload["before"], payload["after"], payload["epoch"]
    known = history.runs.get(run_id)
    if (known.status if known else "") != before:
        history.breaches.append(f"event {event.pk}: run {run_id} went from {before!r} and was {known}")
    if not _may_go(before, after):
        history.breaches.append(f"event {event.pk}: run {run_id} may not go from {before!r} to {after}")
    if after == RunStatus.RUNNING and epoch <= history.started[run_id]:
        history.breaches.append(f"event {event.pk}: run {run_id} was started twice in epoch {epoch}")
    if after == RunStatus.RUNNING:
        history.started[run_id] = epoch
    history.runs[run_id] = _run_state(_id(event.task_id), payload["attempt"], after, epoch)
    active = [run for run in history.runs.values() if run.task_id == event.task_id and run.status in ACTIVE]
    if len(active) > 1:
        history.breaches.append(f"event {event.pk}: task {event.task_id} has {len(active)} active runs")


def _may_go(before: str, after: str) -> bool:
    if before == "":
        return after in {RunStatus.QUEUED, RunStatus.RETRY_SCHEDULED}
    # A run that was claimed and not begun is given back to the queue.
    return after in states.MOVES[RunStatus(before)] or before == after == RunStatus.QUEUED


def _change(history: History, event: Event, **changes: Any) -> None:
    task_id = _id(event.task_id)
    history.tasks[task_id] = replace(history.tasks[task_id], **changes)


def _take_version(history: History, event: Event) -> None:
    task_id, version = _id(event.task_id), event.payload["version"]
    if version <= history.versions.get(task_id, 0):
        history.breaches.append(f"event {event.pk}: task {task_id} has version {version} again, or an older one")
    history.versions[task_id] = version


def _differences(noun: str, told: Mapping[int, object], held: Mapping[int, object]) -> list[str]:
    return [
        f"{noun} {key}: the log says {told.get(key)}, the table {held.get(key)}"
        for key in sorted(told.keys() | held.keys())
        if told.get(key) != held.get(key)
    ]


def _id(given: int | None) -> int:
    assert given is not None
    return given


_HANDLERS: dict[EventType, Callable[[History, Event], None]] = {
    EventType.TASK_CREATED: _task_created,
    EventType.TASK_UPDATED: _task_updated,
    EventType.TASK_STATUS_CHANGED: _task_moved,
    EventType.TASK_INTERVENTION_AUDIT: _commanded,
    EventType.RUN_STATUS_CHANGED: _run_moved,
}
