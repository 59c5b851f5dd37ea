"""An event until it is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from events.states import EventType, Level


@dataclass
class Entry:
    """What is known of an event when it is appended. It has the attributes of the model, of which an instance takes ten times as long to make."""

    type: EventType
    project_id: int | None
    task_id: int | None
    run_id: int | None
    agent_id: int | None
    actor: str
    trace_id: str
    level: Level
    payload: dict[str, Any]
    at: datetime = field(init=False)
    """Given at the end of its transaction, as the places in the chain are."""
    chain_seq: int | None = None
    chain_hash: str = ""
