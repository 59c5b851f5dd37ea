"""What outside tools may write into the log: few types, each with what they may say in it.

They say it over the API (`runtime/views/events.py`), where it is known which projects, tasks and runs there are. What is
counted, decided or spent is never among it: a line or a message of theirs is shown, and nothing acts on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from events.services import append, unit_of_work
from events.states import EventType

MOST = 500
"""So many entries are written at once, all of them or none."""

TYPES = (EventType.RUN_LOG, EventType.RUN_PROGRESS, EventType.ALERT_RAISED, EventType.LOAD_PROBE)


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that a tool tells of, about rows that are there."""

    type: EventType
    project_id: int
    task_id: int | None = None
    run_id: int | None = None
    trace_id: str | None = None
    """None: that of the request."""
    payload: dict[str, Any] = field(default_factory=dict)


@unit_of_work()
def record_entries(entries: Sequence[Entry], *, actor: str) -> None:
    """Append entries in their order. Raises ValueError for a type that is not for outside tools."""
    for entry in entries:
        if entry.type not in TYPES:
            raise ValueError(f"{entry.type} is not written from outside")
        append(
            entry.type,
            project_id=entry.project_id,
            task_id=entry.task_id,
            run_id=entry.run_id,
            actor=actor,
            trace_id=entry.trace_id,
            **entry.payload,
        )
