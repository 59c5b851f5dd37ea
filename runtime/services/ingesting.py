"""Write what outside tools tell, behind the fence of the runs that they tell of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from events import services as events
from events.ingest import Entry, record_entries
from events.states import EventType
from runtime.exceptions import RunNotActive, StaleRun
from runtime.models import TaskRun
from runtime.states import ACTIVE

# What of an entry is its payload; the rest says what it is about.
_SAID: dict[EventType, tuple[str, ...]] = {
    EventType.RUN_LOG: ("epoch", "level", "text", "source"),
    EventType.RUN_PROGRESS: ("epoch", "text"),
    EventType.ALERT_RAISED: ("kind", "message", "details"),
    EventType.LOAD_PROBE: ("test", "number"),
}


@events.unit_of_work()
def ingest_events(told: Sequence[dict[str, Any]], *, actor: str) -> int:
    """Write entries that were read by `runtime.serializers.events`, all or none; return how many.

    Raises StaleRun for an epoch that is not the run's present one, RunNotActive for progress of a run that has ended.
    """
    runs = _locked(entry["run"].pk for entry in told if "run" in entry)
    record_entries([_entry(entry, runs, place) for place, entry in enumerate(told)], actor=actor)
    return len(told)


def _locked(ids: Iterable[int]) -> dict[int, TaskRun]:
    """Return the runs as they are now, and as they stay until the commit: no later epoch begins in between."""
    rows = TaskRun.objects.filter(pk__in=set(ids)).order_by("pk").select_for_update(no_key=True)
    return {run.pk: run for run in rows.only("pk", "status", "epoch", "log_seq")}


def _entry(told: dict[str, Any], runs: dict[int, TaskRun], place: int) -> Entry:
    type_ = EventType(told["type"])
    if type_ in (EventType.RUN_LOG, EventType.RUN_PROGRESS):
        return _about_run(told, _fenced(told, runs, place))
    task, run = told.get("task"), told.get("run")
    return Entry(
        type_,
        project_id=told["project"].pk,
        task_id=task.pk if task else run.task_id if run else None,
        run_id=run.pk if run else None,
        trace_id=told.get("trace_id"),
        payload={name: told[name] for name in _SAID[type_]},
    )


def _about_run(told: dict[str, Any], now: TaskRun) -> Entry:
    type_, run = EventType(told["type"]), told["run"]
    payload = {name: told[name] for name in _SAID[type_]}
    if type_ == EventType.RUN_PROGRESS:
        # It is no line of the run's own log, which is as long as it was.
        payload |= {"seq": now.log_seq, "kind": "outside"}
    return Entry(type_, run.task.project_id, run.task_id, run.pk, told.get("trace_id"), payload)


def _fenced(told: dict[str, Any], runs: dict[int, TaskRun], place: int) -> TaskRun:
    """Return the run as it is now. Raises StaleRun, RunNotActive."""
    now, pointer = runs.get(told["run"].pk), f"events.{place}.epoch"
    if now is None:
        raise StaleRun(None, field=pointer)
    if now.epoch != told["epoch"]:
        raise StaleRun(None, field=pointer, status=now.status, epoch=now.epoch)
    if told["type"] == EventType.RUN_PROGRESS and now.status not in ACTIVE:
        raise RunNotActive(None, field=pointer, status=now.status)
    return now
