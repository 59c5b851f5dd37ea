"""Append to the event log. `append` is the only door.

On PostgreSQL ids are handed out before the commit, so a reader of `id > cursor` would pass over an event that
commits late. An advisory lock held from the first insert to the commit makes id order the commit order, and it is
the last lock a transaction takes. `unit_of_work` keeps that order for everybody: events wait in it until
all else is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from events import chain, trace, wakeup
from events.entries import Entry
from events.models import Event
from events.schemas import SCHEMAS
from events.states import EventType
from security.redaction import redact_data
from sql.inserts import write_all

# Any constant will do; all writers of the log share it.
_LOG_LOCK = 7_788_001

_pending: ContextVar[list[Entry] | None] = ContextVar("pending_events", default=None)


class EventOutsideUnitOfWork(RuntimeError):
    """An event was appended outside a unit of work; it could be committed without the change it tells of."""


@contextmanager
def unit_of_work() -> Iterator[None]:
    """Run a block in one transaction and write the events it appended at its very end.

    Nested blocks join the outer one; a nested block that raises takes its own events and writes with it.
    """
    outer = _pending.get()
    if outer is not None:
        with _savepoint(outer):
            yield
        return
    pending: list[Entry] = []
    token = _pending.set(pending)
    try:
        with transaction.atomic():
            yield
            _flush(pending)
    finally:
        _pending.reset(token)


@contextmanager
def _savepoint(pending: list[Entry]) -> Iterator[None]:
    mark = len(pending)
    try:
        with transaction.atomic():
            yield
    except BaseException:
        del pending[mark:]
        raise


def append(
    type_: EventType,
    *,
    project_id: int | None,
    task_id: int | None = None,
    run_id: int | None = None,
    agent_id: int | None = None,
    actor: str,
    trace_id: str | None = None,
    **payload: Any,
) -> None:
    """Record an event with the change it tells of. `agent_id` needs to be given only where the agent is not the actor.

    Raises EventOutsideUnitOfWork, or pydantic's ValidationError for a payload that is not of the type's schema.
    """
    pending = _pending.get()
    if pending is None:
        raise EventOutsideUnitOfWork(EventOutsideUnitOfWork.__doc__)
    checked = SCHEMAS[type_].model_validate(payload, extra="forbid")
    pending.append(
        Entry(
            type=type_,
            project_id=project_id,
            task_id=task_id,
            run_id=run_id,
            agent_id=agent_id or _agent_in(actor),
            actor=actor,
            trace_id=trace_id or trace.current(),
            level=checked.severity(),
            payload=redact_data(checked.model_dump(mode="json")),
        )
    )


def _agent_in(actor: str) -> int | None:
    noun, _, id_ = actor.partition(":")
    return int(id_) if noun == "agent" and id_.isdecimal() else None


def _flush(pending: list[Entry]) -> None:
    if not pending:
        return
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # What a commit would check takes locks on the rows referred to: before the log's own lock, not behind it.
            cursor.execute(f"SET CONSTRAINTS ALL IMMEDIATE; SELECT pg_advisory_xact_lock({_LOG_LOCK})")
    now = timezone.now()
    for entry in pending:
        entry.at = now
    chain.link(pending)
    write_all(Event, pending)
    # robust: a hint that fails must not turn a committed change into an error.
    transaction.on_commit(wakeup.hint, robust=True)
