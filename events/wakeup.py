"""Hints that something was committed. A hint is never data: whoever misses one finds the change by its slow poll.

SQLite: `PRAGMA data_version` of a connection kept open tells, in microseconds, that another connection
committed; where the system tells of writes to the WAL, it is asked right after them, and else rarely.
PostgreSQL: LISTEN, with NOTIFY sent after the commit and outside the transaction, because a NOTIFY inside
one serialises the commits of the whole cluster.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from types import TracebackType
from typing import Any, Self

from django.db import Error, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from events import inotify

CHANNEL = "bbb_events"
# While nothing happens each pause between two looks is so much longer than the one before.
_SLOWER = 1.3
# Who is told of writes looks so often all the same: the system may forget to tell.
_TOLD_REST_S = 0.25


def hint() -> None:
    """Tell listeners that a transaction has committed. Called after the commit, in autocommit."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"NOTIFY {CHANNEL}")


class Listener:
    """Wait for hints on a database connection of its own. Use as a context manager, in one thread.

    Where it has to look for them, it does so every `poll_s`. With `rest_s` given, it does so ever more rarely while nothing
    happens, down to that, and from the start again when somebody writes.
    """

    def __init__(self, *, poll_s: float, rest_s: float | None = None) -> None:
        self._poll_s = self._pause_s = poll_s
        self._is_resting = rest_s is not None
        self._rest_s = rest_s or poll_s
        self._watch: int | None = None
        self._wrapper: BaseDatabaseWrapper | None = None
        self._version = 0

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._watch is not None:
            os.close(self._watch)
            self._watch = None
        if self._wrapper is not None:
            with contextlib.suppress(Error):
                self._wrapper.close()
            self._wrapper = None

    def wait(self, timeout_s: float, descriptors: list[int] | None = None) -> bool:
        """Sleep until a hint, until one of the descriptors is readable, or for `timeout_s`. Return whether woken."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            try:
                if self._is_woken(left, descriptors or []):
                    return True
            except Error:
                # The database is away. Sleep the rest out; the caller will meet the error on its own connection.
                self.close()
                select.select(descriptors or [], [], [], max(0.0, deadline - time.monotonic()))
                return False
        return False

    def _is_woken(self, timeout_s: float, descriptors: list[int]) -> bool:
        wrapper = self._open()
        if wrapper.vendor == "postgresql":
            with wrapper.wrap_database_errors:  # what the driver raises is no error of Django's
                return self._postgresql(wrapper.connection, timeout_s, descriptors)
        is_woken = self._is_readable(timeout_s, descriptors) or self._sqlite_changed(wrapper)
        rest_s = self._rest_s if self._watch is None else max(self._rest_s, _TOLD_REST_S)
        self._pause_s = self._poll_s if is_woken else min(self._pause_s * _SLOWER, rest_s)
        return is_woken

    def _is_readable(self, timeout_s: float, descriptors: list[int]) -> bool:
        """Pause before a look, which takes a tenth of a millisecond; True when one of the descriptors ended the pause."""
        watches = [] if self._watch is None else [self._watch]
        ready, _, _ = select.select([*descriptors, *watches], [], [], min(timeout_s, self._pause_s))
        if self._watch is None or self._watch not in ready:
            return bool(ready)
        # Written, and not yet committed: that takes as long as the disk does, so the next looks follow soon.
        inotify.drain(self._watch)
        self._pause_s = self._poll_s
        ready, _, _ = select.select(descriptors, [], [], min(timeout_s, self._poll_s))
        return bool(ready)

    def _postgresql(self, raw: Any, timeout_s: float, descriptors: list[int]) -> bool:
        ready, _, _ = select.select([raw.fileno(), *descriptors], [], [], timeout_s)
        # Take what has arrived without waiting for more.
        heard = list(raw.notifies(timeout=0)) if raw.fileno() in ready else []
        return bool(heard) or any(fd in descriptors for fd in ready)

    def _sqlite_changed(self, wrapper: BaseDatabaseWrapper) -> bool:
        before, self._version = self._version, self._data_version(wrapper)
        return self._version != before

    def _open(self) -> BaseDatabaseWrapper:
        if self._wrapper is None:
            self._wrapper = connections.create_connection("default")
            self._wrapper.inc_thread_sharing()
            with self._wrapper.cursor() as cursor:
                if self._wrapper.vendor == "postgresql":
                    cursor.execute(f"LISTEN {CHANNEL}")
            if self._wrapper.vendor == "sqlite":
                # Before the first look: what is committed in between is told or seen.
                self._watch = self._watch_wal(self._wrapper) if self._is_resting else None
                self._version = self._data_version(self._wrapper)
        return self._wrapper

    @staticmethod
    def _watch_wal(wrapper: BaseDatabaseWrapper) -> int | None:
        with wrapper.wrap_database_errors:
            # The WAL is there when somebody has read, and stays while this connection does.
            wrapper.connection.execute("PRAGMA data_version").fetchone()
            _, _, path = wrapper.connection.execute("PRAGMA database_list").fetchone()
        return inotify.watch(f"{path}-wal")

    @staticmethod
    def _data_version(wrapper: BaseDatabaseWrapper) -> int:
        with wrapper.wrap_database_errors:
            return int(wrapper.connection.execute("PRAGMA data_version").fetchone()[0])
