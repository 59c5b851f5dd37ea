"""The database as a loop sees it, which no request opens and closes: it may be away, and comes back."""

from __future__ import annotations

import os
import threading

from django.db import InterfaceError, InternalError, OperationalError, close_old_connections, connection

# InternalError is how psycopg tells that PostgreSQL has ended a connection whose transaction was silent for too long: of a
# scheduler, that is, that was stopped in the middle of one.
DATABASE_AWAY = (OperationalError, InterfaceError, InternalError)

_known = threading.local()


def reconnect() -> None:
    """Let go of this thread's connection if it is not to be trusted any more; the next query opens another.

    On SQLite that is when the file is not the one of the last time: an open connection would hide that it has gone.
    """
    close_old_connections()
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        before, _known.file = getattr(_known, "file", None), _file()
        if before is None or before != _known.file:
            connection.close()


def _file() -> tuple[int, int] | None:
    """Return what tells the database's file from others. As long as a connection is open no other file is called so."""
    try:
        found = os.stat(connection.settings_dict["NAME"])
    except OSError:
        return None
    return found.st_dev, found.st_ino
