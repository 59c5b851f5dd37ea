"""The database as a loop sees it, which no request opens and closes: it may be away, and comes back."""

from __future__ import annotations

from django.db import InterfaceError, OperationalError, close_old_connections, connection

DATABASE_AWAY = (OperationalError, InterfaceError)


def reconnect() -> None:
    """Let go of this thread's connection if it is not to be trusted any more; the next query opens another.

    On SQLite always: the web keeps its connections open; here an open one would hide that the file has gone.
    """
    close_old_connections()
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        connection.close()
