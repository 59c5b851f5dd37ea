"""Events for tests."""

from __future__ import annotations

from typing import Any

from events.models import Event
from events.services import append, unit_of_work
from events.states import EventType

ACTOR = "user:owner"


def record(
    type_: EventType = EventType.TASK_CREATED,
    *,
    project_id: int | None = 1,
    task_id: int | None = None,
    run_id: int | None = None,
    trace_id: str | None = None,
    **payload: Any,
) -> Event:
    """Commit one event and return it."""
    payload = payload or {"id": 1, "version": 1}
    with unit_of_work():
        append(type_, project_id=project_id, task_id=task_id, run_id=run_id, actor=ACTOR, trace_id=trace_id, **payload)
    return Event.objects.latest("id")
