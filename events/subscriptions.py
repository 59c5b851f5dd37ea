"""One listener's place in the log: a cursor, never a queue."""

from __future__ import annotations

from collections.abc import Sequence

from channels.db import database_sync_to_async
from django.db import connection

from events.frames import Frame
from events.models import Event
from events.selection import Selection, Sight
from events.tail import Tail

BATCH = 200


class Subscription:
    """Gives out what is wanted behind the cursor, in order, each event once, as far as the tail has read."""

    def __init__(self, tail: Tail, selection: Selection, sight: Sight, *, after: int) -> None:
        self._tail = tail
        self._selection = selection
        self.sight = sight
        """What the listener may see; it may change between two batches."""
        self.cursor = after

    async def next(self) -> list[str] | None:
        """Return the next frames and go behind them; None when nothing is there yet. A list may be empty."""
        ring = self._tail.ring
        if ring is None or ring.cursor <= self.cursor:
            return None
        frames = ring.after(self.cursor, BATCH)
        if frames is None:
            # Behind the ring. What it holds is left to it, so that the two meet without a gap.
            return await self._replay(upto=ring.cursor)
        self.cursor = frames[-1].id
        return [frame.text for frame in frames if self.sight.covers(frame) and self._selection.matches(frame)]

    async def _replay(self, *, upto: int) -> list[str]:
        frames = await _read(self._selection, self.sight, self.cursor, upto)
        self.cursor = frames[-1].id if len(frames) == BATCH else upto
        return [frame.text for frame in frames]


def _read_now(selection: Selection, sight: Sight, after: int, upto: int) -> Sequence[Frame]:
    try:
        events = selection.narrow(sight.narrow(Event.objects.after(after).filter(id__lte=upto)))
        return [Frame.of(event) for event in events[:BATCH]]
    finally:
        # Threads come and go; no connection, and no reading, stays open in one.
        connection.close()


# In any thread: one long replay must not hold up the others.
_read = database_sync_to_async(_read_now, thread_sensitive=False)
