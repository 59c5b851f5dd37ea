"""The audit chain: each control event carries a hash over itself and over the hash of the one before it.

Who edits, removes or swaps rows in the database breaks the chain at that place, and `manage.py verify_audit` names it. The
chain begins with the first event that was appended since there is one; what is older has no hash. Who can write into
the database can also compute all later hashes anew: note the end of the chain somewhere else, and verify against that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection

from events.entries import Entry
from events.models import Event
from events.states import CHAINED


class Link(NamedTuple):
    """A place in the chain. `Link(0, "")` is before its beginning."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


BEGINNING = Link(0, "")

# Asked in each transaction that appends; to have it written anew each time would cost more than the answer.
_NEWEST = (
    f"SELECT chain_seq, chain_hash FROM {Event._meta.db_table} "  # noqa: S608  (a name of ours)
    "WHERE chain_seq IS NOT NULL ORDER BY chain_seq DESC LIMIT 1"
)


def head() -> Link:
    """Return the end of the chain; BEGINNING where there is none yet."""
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST)
        newest = cursor.fetchone()
    return Link(*newest) if newest else BEGINNING


def link(events: Iterable[Entry]) -> None:
    """Chain events that are about to be inserted, in their order. To be called with the log's lock held, as they are final."""
    chained = [event for event in events if event.type in CHAINED]
    if not chained:
        return
    previous = head()
    for event in chained:
        previous = Link(previous.seq + 1, digest(event, previous))
        event.chain_seq, event.chain_hash = previous


def digest(event: Event | Entry, previous: Link) -> str:
    """Return the hash of an event that follows `previous`: over all of it but its id, which is not known when it is made.

    What is hashed is JSON as Python writes it, with sorted keys, in ASCII and without spaces.
    """
    content = {
        "previous": previous.hash,
        "seq": previous.seq + 1,
        "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "type": event.type,
        "project_id": event.project_id,
        "task_id": event.task_id,
        "run_id": event.run_id,
        "agent_id": event.agent_id,
        "actor": event.actor,
        "trace_id": event.trace_id,
        "level": event.level,
        "payload": _canonical(event.payload),
    }
    return hashlib.sha256(_CANONICAL.encode(content).encode()).hexdigest()


# Payloads came as JSON: none holds itself.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False)


def _canonical(value: Any) -> Any:
    """Return JSON in which equal numbers look the same: PostgreSQL gives 1e22 back as a whole number."""
    if isinstance(value, float) and value.is_integer():
        return int(Decimal(repr(value)))
    if isinstance(value, dict):
        return {name: item if type(item) in _PLAIN else _canonical(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return value


# Most of what payloads hold; to look at each by a call would take longer than the hash.
_PLAIN = frozenset({str, int, bool, type(None)})
