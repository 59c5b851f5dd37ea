"""One listener's place in the log: a cursor, never a queue."""

from __future__ import annotations

from collections.abc import Sequence

from channels.db import database_sync_to_async
from django.db import connection

from events.frames import Frame
from events.models import Event
from events.retention import floor
from events.selection import Selection, Sight
from events.tail import Tail

BATCH = 200
# A listener that does not read holds on to one batch: what that takes has a bound, whatever the events hold.
BATCH_CHARACTERS = 128 * 1024


class Pruned(Exception):
    """Some of what is behind the cursor has been removed from the log."""


class Subscription:
    """Gives out what is wanted behind the cursor, in order, each event once, as far as the tail has read."""

    def __init__(self, tail: Tail, selection: Selection, *, after: int) -> None:
        self._tail = tail
        self._selection = selection
        self.cursor = after

    async def next(self, sight: Sight) -> list[Frame] | None:
        """Return what may be seen of the next frames, and go behind them; None when nothing is there yet.

        A list may be empty. Raises Pruned.
        """
        ring = self._tail.ring
        if ring is None or ring.cursor <= self.cursor:
            return None
        frames = ring.after(self.cursor, BATCH)
        if frames is None:
            # Behind the ring. What it holds is left to it, so that the two meet without a gap.
            return await self._replay(sight, upto=ring.cursor)
        batch = fitting(frames)
        self.cursor = batch[-1].id
        return [frame for frame in batch if sight.covers(frame) and self._selection.matches(frame)]

    async def _replay(self, sight: Sight, *, upto: int) -> list[Frame]:
        frames = await _read(self._selection, sight, self.cursor, upto)
        batch = fitting(frames)
        is_all = len(frames) < BATCH and len(batch) == len(frames)
        self.cursor = upto if is_all else batch[-1].id
        return list(batch)


def fitting(frames: Sequence[Frame]) -> Sequence[Frame]:
    """Return as many of the frames as a listener may hold on to, at least one."""
    characters = 0
    for number, frame in enumerate(frames, start=1):
        characters += len(frame.text)
        if characters >= BATCH_CHARACTERS:
            return frames[:number]
    return frames


def _read_now(selection: Selection, sight: Sight, after: int, upto: int) -> Sequence[Frame]:
    try:
        events = selection.narrow(sight.narrow(Event.objects.after(after).filter(id__lte=upto)))
        frames = [Frame.of(event) for event in events[:BATCH]]
        # Behind the reading: what was removed before it has raised the floor.
        if floor(selection.wants) > after:
            raise Pruned
        return frames
    finally:
        # Threads come and go; no connection, and no reading, stays open in one.
        connection.close()


# In any thread: one long replay must not hold up the others.
_read = database_sync_to_async(_read_now, thread_sensitive=False)
