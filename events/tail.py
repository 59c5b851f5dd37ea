"""The tail of the event log: one thread a process reads each new event once, for all who listen.

It publishes an immutable `Ring` of the last few thousand frames and wakes the event loops. Nothing is queued for
anybody: each listener is a cursor, and one that fell behind the ring reads from the database instead.
"""

from __future__ import annotations

import contextlib
import os
import threading
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from django.db import connection

from events.frames import Frame
from events.models import Event
from events.wakeup import Listener

log = structlog.get_logger("bbb.events")

RING_SIZE = 4096
# Whatever events hold, the ring holds no more than that; a character is a byte mostly.
RING_CHARACTERS = 16 * 1024 * 1024
BATCH = 500
# How soon a person sees what happened, where the database has to be asked; asking takes microseconds.
POLL_S = 0.02
# Hints may get lost.
SLOW_POLL_S = 5.0
RETRY_S = 1.0

Wake = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Ring:
    """Every event behind `floor` up to `cursor`, in order."""

    floor: int
    frames: tuple[Frame, ...] = ()
    characters: int = 0
    rights_cursor: int = 0
    """The newest event, here or dropped, that changed what somebody may see."""

    @property
    def cursor(self) -> int:
        """The newest event that was read."""
        return self.frames[-1].id if self.frames else self.floor

    def grown(self, newer: list[Frame]) -> Ring:
        """Return the ring with newer frames; the oldest make room."""
        frames = (*self.frames, *newer)
        characters = self.characters + sum(len(frame.text) for frame in newer)
        dropped = 0
        while len(frames) - dropped > RING_SIZE or (characters > RING_CHARACTERS and dropped < len(frames)):
            characters -= len(frames[dropped].text)
            dropped += 1
        rights_cursor = max((frame.id for frame in newer if frame.changes_rights), default=self.rights_cursor)
        return Ring(frames[dropped - 1].id if dropped else self.floor, frames[dropped:], characters, rights_cursor)

    def after(self, cursor: int, limit: int) -> tuple[Frame, ...] | None:
        """Return the next frames behind the cursor; None if some of them are no longer here."""
        if cursor < self.floor:
            return None
        begin = bisect_right(self.frames, cursor, key=lambda frame: frame.id)
        return self.frames[begin : begin + limit]


class Tail:
    """The thread, there while anybody listens."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wakes: set[Wake] = set()
        self._follower: _Follower | None = None

    @property
    def ring(self) -> Ring | None:
        """What was read last; None before the first reading."""
        follower = self._follower
        return follower.ring if follower else None

    def join(self, wake: Wake) -> None:
        """Call `wake`, from another thread, whenever the ring has grown."""
        with self._lock:
            self._wakes.add(wake)
            if self._follower is None:
                self._follower = _Follower(self._wake_all)
                self._follower.start()

    def leave(self, wake: Wake) -> None:
        """Call `wake` no more. The thread ends with the last listener."""
        with self._lock:
            self._wakes.discard(wake)
            if not self._wakes and self._follower is not None:
                self._follower.stop()
                self._follower = None

    def _wake_all(self) -> None:
        for wake in list(self._wakes):
            # The event loop may have ended.
            with contextlib.suppress(RuntimeError):
                wake()


class _Follower(threading.Thread):
    def __init__(self, on_growth: Callable[[], None]) -> None:
        super().__init__(name="event-tail", daemon=True)
        self.ring: Ring | None = None
        self._on_growth = on_growth
        self._stop_read, self._stop_write = os.pipe()
        self._is_stopped = threading.Event()

    def stop(self) -> None:
        """Ask the thread to end; it does within moments."""
        # In this order: once it is told, the thread closes the pipe, whose number may soon be another file's.
        os.write(self._stop_write, b".")
        self._is_stopped.set()

    def run(self) -> None:
        try:
            while not self._is_stopped.is_set():
                self._follow_safely()
        finally:
            os.close(self._stop_read)
            os.close(self._stop_write)

    def _follow_safely(self) -> None:
        try:
            self._follow()
        except Exception:
            # Most likely the database is away. Whatever it was, those who listen wait for this thread.
            log.warning("event_tail_interrupted", exc_info=True)
            self._is_stopped.wait(RETRY_S)
        finally:
            connection.close()

    def _follow(self) -> None:
        # Listen first: what is committed after the reading wakes us.
        with Listener(poll_s=POLL_S) as hints:
            while not self._is_stopped.is_set():
                if not self._read():
                    hints.wait(SLOW_POLL_S, [self._stop_read])

    def _read(self) -> bool:
        """Publish what is new; True if there may be more."""
        if self.ring is None:
            end = latest()
            # Rights may have changed since those were asked who wait for the first reading.
            self.ring = Ring(floor=end, rights_cursor=end)
            self._on_growth()
            return False
        newer = [Frame.of(event) for event in Event.objects.after(self.ring.cursor)[:BATCH]]
        if newer:
            self.ring = self.ring.grown(newer)
            self._on_growth()
        return len(newer) == BATCH


def latest() -> int:
    """Return the cursor of the newest event; 0 for an empty log."""
    newest = Event.objects.order_by("-id").values_list("id", flat=True).first()
    return newest or 0


# The one tail of this process.
TAIL = Tail()
