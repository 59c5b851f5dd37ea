"""The heartbeat: keeps a scheduler's leases while its loop is busy, and knows when they could not be kept.

It beats in a thread of its own with a connection of its own, because a merge or a checkout in the loop may take longer
than a lease. Time is counted from the machine's start, its sleep included: who slept beyond its leases has lost them,
though its own clock says that nothing happened.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Self

import structlog
from django.conf import settings
from django.db import connection, connections

from runtime import schedulers
from runtime.database import DATABASE_AWAY, reconnect
from runtime.hosts import uptime_s
from runtime.models import SchedulerInstance

log = structlog.get_logger("bbb.runtime")

# A loop that was busy for so long hangs: its runs are better off with another scheduler. Git's own limits are shorter.
HUNG_S = 900.0
# Longer than a beat may wait for a lock of SQLite's.
_JOIN_S = 25.0


class Heartbeat:
    """The heartbeat of one scheduler. As a context manager it beats by itself; else `keep` does, in the caller's thread."""

    def __init__(self, scheduler: SchedulerInstance, is_draining: Callable[[], bool]) -> None:
        self._scheduler = scheduler
        self._is_draining = is_draining
        # To be entered counts as the first beat.
        self._beaten = self._kept = uptime_s()
        self._seen = scheduler.heartbeat_at
        self._lenient_until = 0.0
        self._lapses = 0
        self._known_lapses = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def beat(self) -> None:
        """Show that the scheduler lives and renew its leases."""
        began = uptime_s()
        seen = schedulers.beat(self._scheduler, is_draining=self._is_draining())
        silent_s = began - self._beaten
        if silent_s > settings.LEASE_S:
            self._lapses += 1
        if max(silent_s, (seen - self._seen).total_seconds()) > self._overdue_s:
            # What kept us (a sleep of the machine, a database that was away, a clock that was set) may have kept the
            # others as well: they get the time to renew theirs before they count as late.
            self._lenient_until = began + settings.LEASE_S
        self._beaten, self._seen = began, seen

    def keep(self) -> None:
        """Called by the loop, often: see to it that the leases are kept, and beat here when nobody else does in time."""
        self._kept = uptime_s()
        if self._thread is not None and not self._thread.is_alive():
            log.error("heartbeat_died", owner=self._scheduler.pk)
            self._begin()
        silent_s = self._kept - self._beaten
        if silent_s > (self._overdue_s if self._thread else settings.LEASE_S / 3):
            self.beat()

    @property
    def is_trusted(self) -> bool:
        """Whether the leases have been kept without a gap, as far as this process can tell without the database."""
        return self._lapses == self._known_lapses and uptime_s() - self._beaten <= settings.LEASE_S

    def took_note(self) -> None:
        """Begin anew after a gap: what was run before it is given up."""
        self._known_lapses = self._lapses

    def may_judge(self, now: datetime) -> bool:
        """Tell whether others may be called late at this time of the database's: not by one who was away itself."""
        return uptime_s() >= self._lenient_until and (now - self._seen).total_seconds() <= self._overdue_s

    def stop(self) -> None:
        """Beat no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_JOIN_S)
            self._thread = None

    def __enter__(self) -> Self:
        self._stop.clear()
        self._begin()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    @property
    def _overdue_s(self) -> float:
        """How long after the last beat one has certainly been missed."""
        return settings.LEASE_S * 2 / 3

    def _begin(self) -> None:
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._pause_s()):
                self._try()
        finally:
            connections.close_all()

    def _pause_s(self) -> float:
        """Return how long it is to the next beat; after one that failed, a while at least."""
        return max(settings.LEASE_S / 30, self._beaten + settings.LEASE_S / 3 - uptime_s())

    def _try(self) -> None:
        if uptime_s() - self._kept > HUNG_S:
            log.error("loop_hangs", owner=self._scheduler.pk)
            return
        reconnect()
        try:
            self.beat()
        except DATABASE_AWAY as error:
            log.warning("heartbeat_failed", owner=self._scheduler.pk, error=str(error))
            connection.close()
        except Exception:
            # The next one may succeed. If none does, the loop notices that it is not trusted any more.
            log.exception("heartbeat_failed", owner=self._scheduler.pk)
