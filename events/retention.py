"""Retention: how long events are kept, the floor behind which they all are there, and the pruning of those that are older.

Floods (`events.states.UNCHAINED`) are pruned after KEEP_PROGRESS_DAYS, control events after KEEP_EVENTS_DAYS; 0 keeps for ever.
Rows go in small batches, each in a short transaction that raises the floor with it; between two of them others may
write. Of control events the oldest go first, and each batch leaves an event of the type `log.pruned` with the place in
the audit chain that it reached. The end of the chain always stays.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count
from django.utils import timezone

from events import chain, cursors
from events.models import Event, EventQuerySet, Floor
from events.services import append, unit_of_work
from events.states import CHAINED, UNCHAINED, EventType

BATCH = 500
PAUSE_S = 0.02


def floor(wants: Callable[[str], bool] = lambda _type: True) -> int:
    """Return the cursor behind which every event of the wanted types is still there; 0 while none was pruned.

    Whoever has seen everything up to a cursor below it has missed some and has to load anew. One read of a table with a row for
    each pruned type. The floor is raised in the transaction that prunes: to be sure, ask after reading, not before.
    """
    return max((cursor for type_, cursor in _floors().items() if wants(type_)), default=0)


@dataclass(frozen=True)
class Rule:
    """What goes: which types, and when it is older than this. What stands in the audit chain goes by itself."""

    types: frozenset[EventType]
    before: datetime
    is_chained: bool

    def due(self) -> EventQuerySet:
        """Return what is to go, the oldest first."""
        old = Event.objects.filter(id__lt=cursors.until(self.before), at__lt=self.before)
        if self.is_chained:
            return old.chained().filter(chain_seq__lt=chain.head().seq).order_by("chain_seq")
        # What is below the floor has gone already; nobody looks for it again.
        reached = _floors().get(min(self.types), 0)
        return old.filter(type__in=sorted(self.types), chain_seq__isnull=True, id__gt=reached).order_by("id")


def rules(now: datetime | None = None) -> list[Rule]:
    """Return what the settings say is to go."""
    now = now or timezone.now()
    found = []
    if days := settings.KEEP_PROGRESS_DAYS:
        found.append(Rule(UNCHAINED, now - timedelta(days=days), is_chained=False))
    if days := settings.KEEP_EVENTS_DAYS:
        # First what is older than the chain.
        found += [Rule(CHAINED, now - timedelta(days=days), is_chained) for is_chained in (False, True)]
    return found


def due(now: datetime | None = None) -> Counter[str]:
    """Return how many events of each type are to go."""
    counted: Counter[str] = Counter()
    for rule in rules(now):
        counted.update(dict(rule.due().order_by().values_list("type").annotate(Count("pk"))))
    return counted


def prune(*, actor: str, batch: int = BATCH, pause_s: float = PAUSE_S, within_s: float = math.inf) -> int:
    """Remove what is to go, or what of it the time allows, a batch at least; return how many events that were."""
    pruned, until = 0, time.monotonic() + within_s
    for count in _batches(batch, actor):
        pruned += count
        if time.monotonic() >= until:
            break
        # On SQLite who waits for the write lock asks for it now and then, and has to find it free.
        time.sleep(pause_s)
    return pruned


def _batches(size: int, actor: str) -> Iterator[int]:
    for rule in rules():
        while count := _prune_batch(rule, size, actor):
            yield count


@unit_of_work()
def _prune_batch(rule: Rule, size: int, actor: str) -> int:
    rows = list(rule.due().values_list("id", "chain_seq", "chain_hash")[:size])
    # Each batch of control events leaves one behind: it has to be worth it.
    if not rows or (rule.is_chained and len(rows) < size):
        return 0
    last, seq, hash_ = rows[-1]
    rule.due().filter(id__lte=last).order_by().delete()
    _raise_floor(rule.types, last)
    if rule.is_chained:
        place: dict[str, Any] = {"chain_seq": seq, "chain_hash": hash_}
        append(EventType.LOG_PRUNED, project_id=None, actor=actor, count=len(rows), cursor=last, **place)
    return len(rows)


def _floors() -> dict[str, int]:
    return dict(Floor.objects.values_list("type", "cursor"))


def _raise_floor(types: Collection[EventType], cursor: int) -> None:
    now = timezone.now()
    Floor.objects.bulk_create(
        [Floor(type=type_, cursor=0, pruned_at=now) for type_ in sorted(types)], ignore_conflicts=True
    )
    Floor.objects.filter(type__in=sorted(types), cursor__lt=cursor).update(cursor=cursor, pruned_at=now)
