"""The log of one run as it grows, read once in each event loop for all who look at it.

The log's copy in the database is read, woken by the events that tell of the run; a slow poll stands behind. As with the event log,
nothing is queued: each viewer is a cursor over a ring, and one that fell behind reads from the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import structlog
from channels.db import database_sync_to_async
from django.db import connection

from events.frames import Frame, text_of
from events.hub import Hub, hub
from events.subscriptions import fitting
from events.tail import RING_SIZE, Ring
from runtime.models import RunLog, TaskRun
from runtime.states import FINAL

log = structlog.get_logger("bbb.runtime")

BATCH = 200
# Hints may get lost.
POLL_S = 2.0


class Standing(NamedTuple):
    """Where a run is."""

    status: str
    log_seq: int


class LogTail:
    """Reads what a run has said since it is looked at."""

    def __init__(self, run_id: int, at: Hub, standing: Standing) -> None:
        self.run_id = run_id
        self.standing = standing
        self.ring = Ring(floor=standing.log_seq)
        self.viewers: set[asyncio.Event] = set()
        self._hub = at
        self._seen = 0
        self._reading = asyncio.get_running_loop().create_task(self._read_on(), context=contextvars.Context())

    @property
    def is_over(self) -> bool:
        """Tell whether nothing will be said any more, and all that was said has been read."""
        return self.standing.status in FINAL and self.ring.cursor >= self.standing.log_seq

    def end(self) -> None:
        """Read no more."""
        self._reading.cancel()

    async def _read_on(self) -> None:
        grown = asyncio.Event()
        with self._hub.listening(grown):
            self._is_told_of()
            while not self.is_over:
                # Before the reading: what comes during it wakes us again.
                grown.clear()
                if not await self._read():
                    await self._hint(grown)

    async def _read(self) -> bool:
        """Publish what is new; True if there may be more."""
        try:
            standing, lines = await _look(self.run_id, self.ring.cursor)
        except Exception:
            # The database is away, most likely. Those who look on wait for us.
            log.warning("run_log_interrupted", exc_info=True)
            return False
        if lines or standing != self.standing:
            self.standing, self.ring = standing, self.ring.grown(lines)
            for viewer in self.viewers:
                viewer.set()
        return len(lines) == BATCH

    async def _hint(self, grown: asyncio.Event) -> None:
        """Wait until an event tells of the run, or for a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                while not self._is_told_of():
                    await grown.wait()
                    grown.clear()

    def _is_told_of(self) -> bool:
        ring = self._hub.tail.ring
        if ring is None:
            return False
        news = ring.after(self._seen, RING_SIZE)
        self._seen = ring.cursor
        return news is None or any(frame.run_id == self.run_id for frame in news)


_tails: dict[tuple[asyncio.AbstractEventLoop, int], LogTail] = {}


@contextlib.asynccontextmanager
async def looking_at(run_id: int, standing: Standing, grown: asyncio.Event) -> AsyncIterator[LogTail]:
    """Give the tail of a run's log; have the event set whenever it has grown."""
    key = (asyncio.get_running_loop(), run_id)
    tail = _tails.get(key) or _tails.setdefault(key, LogTail(run_id, hub(), standing))
    tail.viewers.add(grown)
    try:
        yield tail
    finally:
        tail.viewers.discard(grown)
        if not tail.viewers:
            del _tails[key]
            tail.end()


class Viewer:
    """One viewer's place in the log."""

    def __init__(self, tail: LogTail, *, after: int) -> None:
        self._tail = tail
        self.cursor = after

    @property
    def is_done(self) -> bool:
        """Tell whether everything has been given out, and nothing will follow."""
        return self._tail.is_over and self.cursor >= self._tail.ring.cursor

    async def next(self) -> Sequence[Frame]:
        """Return the next lines and go behind them; none when nothing is there yet."""
        ring = self._tail.ring
        if ring.cursor <= self.cursor:
            return ()
        lines = ring.after(self.cursor, BATCH)
        if lines is None:
            return await self._replay(ring)
        batch = fitting(lines)
        self.cursor = batch[-1].id
        return batch

    async def _replay(self, ring: Ring) -> Sequence[Frame]:
        lines = await _read_apart(self._tail.run_id, self.cursor, ring.cursor)
        batch = fitting(lines)
        # Where lines have been removed, go on behind them.
        self.cursor = batch[-1].id if batch else ring.cursor
        return batch


def _lines(run_id: int, after: int, upto: int | None = None) -> list[Frame]:
    lines = RunLog.objects.filter(run=run_id, seq__gt=after).order_by("seq")
    return [_frame(line) for line in (lines if upto is None else lines.filter(seq__lte=upto))[:BATCH]]


def _frame(line: RunLog) -> Frame:
    told = {"type": "line", "seq": line.seq, "at": line.at.isoformat(), "kind": line.kind, "body": line.body}
    return Frame(line.seq, "line", None, None, None, "", text_of(told))


@database_sync_to_async
def _look(run_id: int, after: int) -> tuple[Standing, list[Frame]]:
    # The run first: what it counts has been written with it.
    found = TaskRun.objects.filter(pk=run_id).values_list("status", "log_seq").first()
    if found is None:
        return Standing(_DELETED, after), []
    return Standing(*found), _lines(run_id, after)


# A run that is no longer there says nothing any more.
_DELETED = "cancelled"


def _read_apart_now(run_id: int, after: int, upto: int) -> list[Frame]:
    try:
        return _lines(run_id, after, upto)
    finally:
        connection.close()


_read_apart = database_sync_to_async(_read_apart_now, thread_sensitive=False)
