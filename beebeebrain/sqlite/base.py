"""Wait for the write lock in Python, so that everybody gets it in time, and nobody is held up by who waits.

SQLite's own busy handler looks for the lock at ever longer intervals, up to 100 ms: whoever has waited long hardly ever
meets the moment at which it is free, while those who have just come take it. And it waits with the connection's mutex
held: a cursor of that connection which the garbage collector finds in another thread cannot be closed meanwhile, and that
thread may be the one that holds the write lock. Here whoever wants to write looks every millisecond, for as long as the
database's `timeout` says, with nothing held; of the threads of a process that want to begin, one looks, the others stand
in line. Between processes there is no line: there who comes stands back for a moment while others wait, since a process
whose transactions follow each other would else win again each time.
"""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

from django.db.backends.sqlite3 import base, features

from beebeebrain.sqlite.courtesy import waiting
from beebeebrain.sqlite.line import Line

LOOK_S = 0.001

# Not SQLITE_BUSY_SNAPSHOT: what has read before others wrote has to begin anew, however long it waits.
_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY})

_LINES: defaultdict[str, Line] = defaultdict(Line)
"""By the database's name."""


class Cursor(base.SQLiteCursorWrapper):
    """Waits for up to `patience_s` seconds until a statement outside of transactions, or the beginning of one, gets its lock."""

    def __init__(self, connection: sqlite3.Connection, *, patience_s: float) -> None:
        super().__init__(connection)
        self._patience_s = patience_s

    def execute(self, query: Any, params: Any = None) -> Any:
        """Run a statement. `executemany` does not wait: done again, it would write the first rows twice."""
        run = partial(super().execute, query, params)
        return run() if self.connection.in_transaction else self._wait_to(run)

    def _wait_to(self, run: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                return run()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode not in _LOCKED or time.monotonic() > deadline:
                    raise
            time.sleep(LOOK_S)


class Features(features.DatabaseFeatures):
    """What SQLite has to know: RETURNING and UPDATE FROM, with which many rows are written at once."""

    minimum_database_version = (3, 35)


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection that waits as this module says, each time for up to `patience_s` seconds."""

    features_class = Features
    patience_s: float

    def get_new_connection(self, conn_params: Any) -> Any:
        """Open a connection. SQLite itself waits only until it is open: nobody else knows of it before."""
        self.patience_s = float(conn_params.get("timeout", 5.0))
        connection = super().get_new_connection(conn_params)
        connection.execute("PRAGMA busy_timeout = 0")
        return connection

    def create_cursor(self, name: str | None = None) -> Any:
        """Return a cursor that waits."""
        return self.connection.cursor(factory=partial(Cursor, patience_s=self.patience_s))

    def _start_transaction_under_autocommit(self) -> None:
        name = str(self.settings_dict["NAME"])
        with _LINES[name].turn(self.patience_s), waiting(f"{name}-waiting"):
            super()._start_transaction_under_autocommit()  # type: ignore[misc]  # unknown to the stubs
