"""Wait for the write lock so that everybody gets it in time.

SQLite's own busy handler looks for the lock at ever longer intervals, up to 100 ms: whoever has waited long hardly ever
meets the moment at which it is free, while those who have just come take it. Here everybody who wants to write looks
every millisecond, for as long as the database's `timeout` says.
"""

from __future__ import annotations

import time
from typing import Any

from django.db.backends.sqlite3 import base
from django.db.utils import OperationalError

LOOK_S = 0.001


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection whose transactions begin with a fair wait."""

    def get_new_connection(self, conn_params: Any) -> Any:
        """Open a connection, and keep how long it waits."""
        self._patience_s = float(conn_params.get("timeout", 5.0))
        return super().get_new_connection(conn_params)

    def _start_transaction_under_autocommit(self) -> None:
        deadline = time.monotonic() + self._patience_s
        self._wait_in_sqlite(0.0)
        try:
            while not self._has_begun(deadline):
                time.sleep(LOOK_S)
        finally:
            self._wait_in_sqlite(self._patience_s)

    def _has_begun(self, deadline: float) -> bool:
        """Try to begin; raise what SQLite says when it is too late, or something else is wrong."""
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
        except OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            return False
        return True

    def _wait_in_sqlite(self, seconds: float) -> None:
        self.connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")
