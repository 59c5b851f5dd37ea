"""What goes over a stream: one JSON object a frame. Only events carry an id."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import orjson

from events.models import Event

# What the text of each event begins with: a label goes behind it, and nothing is serialised again.
_HEAD = '{"type":"event",'


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
    changes_rights: bool = False
    """Whether it tells that somebody may see more, or less, than before."""

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
            text=text_of({"type": "event", "id": event.id, "event": event.frame()}),
            changes_rights=event.type.startswith("security.") and event.payload.get("outcome") == "allowed",
        )

    def labelled(self, label: str) -> str:
        """Return the text for one of several subscriptions; `label` comes from `label_of`."""
        return label + self.text[len(_HEAD) :]


class Notice(NamedTuple):
    """A frame that is no event: what it is, and its text."""

    type: str
    text: str


def label_of(sub: str) -> str:
    """Return what the frames of a subscription begin with."""
    return f'{_HEAD}"sub":{orjson.dumps(sub).decode()},'


def hello(cursor: int, heartbeat_s: float) -> Notice:
    """Return the first frame of a stream: behind which cursor it begins, and how long nothing may be heard."""
    return _notice("hello", cursor=cursor, heartbeat_s=heartbeat_s)


def heartbeat(cursor: int, subs: dict[str, int] | None = None) -> Notice:
    """Return the frame that says: the stream lives, and nothing up to the cursor, of each subscription, is missing."""
    return _notice("heartbeat", cursor=cursor, **({"subs": subs} if subs else {}))


def subscribed(sub: str, cursor: int) -> Notice:
    """Return the answer to a subscription that was taken: it begins behind the cursor."""
    return _notice("subscribed", sub=sub, cursor=cursor)


def unsubscribed(sub: str) -> Notice:
    """Return the frame behind which nothing of this subscription comes."""
    return _notice("unsubscribed", sub=sub)


def resync(cursor: int, sub: str = "") -> Notice:
    """Return the frame that says: something is missing up to the cursor, from which the stream goes on."""
    detail = "The log does not reach back, or not as far, as your cursor. Load anew what you show."
    return _notice("resync", **_of(sub), cursor=cursor, code="resync", detail=detail)


def error(code: str, detail: str, sub: str = "") -> Notice:
    """Return the frame that says what was refused; if the stream ends then, why."""
    return _notice("error", **_of(sub), code=code, detail=detail)


def text_of(frame: dict[str, Any]) -> str:
    """Return a frame as it is sent."""
    try:
        return orjson.dumps(frame).decode()
    except orjson.JSONEncodeError:
        # A whole number beyond 64 bits, or what nests deep: legal JSON, and one such event must not end the stream of all.
        return json.dumps(frame, separators=(",", ":"))


def _notice(type_: str, **fields: Any) -> Notice:
    return Notice(type_, text_of({"type": type_, **fields}))


def _of(sub: str) -> dict[str, str]:
    return {"sub": sub} if sub else {}
