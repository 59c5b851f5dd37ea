"""The log as JSON Lines: one event a line as the API shows it, with its place in the audit chain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import Q

from events.frames import text_of
from events.models import Event

BATCH = 1000


def lines(*, after: int = 0, until: int | None = None, types: list[str] | None = None) -> Iterator[bytes]:
    """Yield the events behind a cursor, up to and with another one, in order.

    A type that ends in a dot stands for all that begin so. Read in batches: no transaction stays open meanwhile.
    """
    wanted = Q() if until is None else Q(id__lte=until)
    if types:
        wanted &= Q(type__in=types) | _beginning(types)
    while batch := list(Event.objects.after(after).filter(wanted)[:BATCH]):
        yield from map(_line, batch)
        after = batch[-1].id


def _beginning(types: list[str]) -> Q:
    found = Q(pk__in=[])
    for prefix in types:
        if prefix.endswith("."):
            found |= Q(type__startswith=prefix)
    return found


def _line(event: Event) -> bytes:
    shown: dict[str, Any] = event.frame()
    if event.chain_seq is not None:
        shown |= {"chain_seq": event.chain_seq, "chain_hash": event.chain_hash}
    return f"{text_of(shown)}\n".encode()
