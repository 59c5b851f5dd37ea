"""The database as a loop sees it, which no request opens and closes: it may be away, and comes back."""

from __future__ import annotations

from django.db import InterfaceError, InternalError, OperationalError, close_old_connections, connection

# InternalError is how psycopg tells that PostgreSQL has ended a connection whose transaction was silent for too long: of a
# scheduler, that is, that was stopped in the middle of one.
DATABASE_AWAY = (OperationalError, InterfaceError, InternalError)


def reconnect() -> None:
    """Let go of this thread's connection if it is not to be trusted any more; the next query opens another.

    On SQLite always: the web keeps its connections open; here an open one would hide that the file has gone.
    """
    close_old_connections()
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        connection.close()
