"""What goes over a stream: one JSON object a frame. Only events carry an id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import orjson

from events.models import Event


@dataclass(frozen=True, slots=True)
class Frame:
    """An event as it is sent, serialised once for everybody, with what a selection asks for."""

    id: int
    type: str
    project_id: int | None
    task_id: int | None
    run_id: int | None
    trace_id: str
    text: str

    @classmethod
    def of(cls, event: Event) -> Self:
        """Return the frame of an event."""
        return cls(
            id=event.id,
            type=event.type,
            project_id=event.project_id,
            task_id=event.task_id,
            run_id=event.run_id,
            trace_id=event.trace_id,
            text=_text({"type": "event", "id": event.id, "event": event.frame()}),
        )


def hello(cursor: int) -> str:
    """Return the first frame of a stream: how far the log reaches."""
    return _text({"type": "hello", "cursor": cursor})


def heartbeat(cursor: int) -> str:
    """Return the frame that says: the stream lives, and nothing up to the cursor is missing."""
    return _text({"type": "heartbeat", "cursor": cursor})


def error(code: str, detail: object) -> str:
    """Return the frame that says why the stream ends."""
    return _text({"type": "error", "code": code, "detail": detail})


def _text(frame: dict[str, Any]) -> str:
    return orjson.dumps(frame).decode()
