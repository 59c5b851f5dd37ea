"""Whether the audit chain is whole, read from its beginning to its end in batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from events.chain import BEGINNING, Link, digest
from events.models import Event
from events.states import UNCHAINED, EventType

BATCH = 1000


@dataclass(frozen=True)
class Break:
    """The first place where the chain does not hold: which event, 0 where there is none, and what is wrong with it."""

    event_id: int
    what: str

    def __str__(self) -> str:
        return f"event {self.event_id}: {self.what}" if self.event_id else self.what


@dataclass(frozen=True)
class Verdict:
    """What was found, from the place `first`, which was pruned or is the beginning, up to `last`."""

    checked: int
    first: Link
    last: Link
    broken: Break | None


def verify(*, expected: Link | None = None, accept_outside: bool = False, batch: int = BATCH) -> Verdict:
    """Look at every chained event, and stop at the first break.

    `expected` is an end of the chain that was noted earlier. Control events outside the chain are a break unless accepted:
    a process of a version without the chain writes such, and so does who inserts events by hand.
    """
    while True:
        start = _start()
        found = _verify_from(start, expected, batch, accept_outside=accept_outside)
        # What was pruned while we looked is missing from where we began.
        if found.broken is None or _start() == start:
            return found


def _verify_from(first: Link, expected: Link | None, batch: int, *, accept_outside: bool) -> Verdict:
    last = first
    last_id = checked = 0
    for event in _in_order(batch):
        if what := _wrong(event, last, last_id, expected):
            return Verdict(checked, first, last, Break(event.id, what))
        last, last_id, checked = Link(event.chain_seq or 0, event.chain_hash), event.id, checked + 1
    broken = _missing_end(last, expected) or (None if accept_outside else _outside())
    return Verdict(checked, first, last, broken)


def _start() -> Link:
    """Return what comes before the oldest event there is: nothing, or the last one that was pruned."""
    pruned = Event.objects.filter(type=EventType.LOG_PRUNED).order_by("-id").first()
    return Link(pruned.payload["chain_seq"], pruned.payload["chain_hash"]) if pruned else BEGINNING


def _in_order(size: int) -> Iterator[Event]:
    rows = Event.objects.chained().order_by("chain_seq")
    batch = list(rows[:size])
    while batch:
        yield from batch
        batch = list(rows.filter(chain_seq__gt=batch[-1].chain_seq)[:size])


def _wrong(event: Event, last: Link, last_id: int, expected: Link | None) -> str:
    seq = event.chain_seq or 0
    if seq > last.seq + 1:
        return f"before it, {seq - last.seq - 1} events are missing from the chain: {last.seq + 1} to {seq - 1}"
    if seq <= last.seq:
        return f"it has place {seq} in the chain, which the log says was pruned up to {last.seq}"
    if event.id < last_id:
        return f"it comes behind event {last_id} in the chain, but before it in the log"
    if event.chain_hash != digest(event, last):
        return "what it says is not what was hashed: it, or its hash, was changed after it was written"
    if expected and seq == expected.seq and event.chain_hash != expected.hash:
        return f"its hash is not the one that was noted for place {seq}: the chain was written anew"
    return ""


def _missing_end(last: Link, expected: Link | None) -> Break | None:
    if expected and expected.seq > last.seq:
        return Break(0, f"the chain ends at {last.seq}, and had reached {expected.seq}: its end was removed")
    return None


def _outside() -> Break | None:
    """Return the first control event since the chain began that is not in it."""
    oldest = Event.objects.chained().order_by("chain_seq").values_list("id", flat=True).first()
    if oldest is None:
        return None
    stray = Event.objects.filter(chain_seq__isnull=True, id__gt=oldest).exclude(type__in=sorted(UNCHAINED))
    found = stray.order_by("id").values_list("id", flat=True).first()
    return Break(found, "a control event outside the chain") if found else None
