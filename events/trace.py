"""The trace: one id that joins a request, its events and its log lines."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

_ACCEPTED = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def new() -> str:
    """Return a fresh trace id."""
    return uuid.uuid4().hex


def accepted(given: str | None) -> str:
    """Return the id a caller gave if it is one, else a fresh id."""
    return given if given and _ACCEPTED.fullmatch(given) else new()


def current() -> str:
    """Return the trace bound to this thread or task, or a fresh id where there is none."""
    bound = structlog.contextvars.get_contextvars().get("trace_id")
    return bound if isinstance(bound, str) else new()


@contextmanager
def bound(trace_id: str, **ids: object) -> Iterator[None]:
    """Bind the trace (and task_id, run_id, agent_id) to every log line and event inside."""
    with structlog.contextvars.bound_contextvars(trace_id=trace_id, **ids):
        yield
