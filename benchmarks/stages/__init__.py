"""Where something is measured: the database of this process, and others beside it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from os import environ
from urllib.parse import urlsplit

from django.db import connection


def where() -> str:
    """Return the name of the database, as people write it."""
    return {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[connection.vendor]


@contextmanager
def own_database() -> Iterator[str]:
    """Give the URL of an empty database on our own server, "" on SQLite; it is gone afterwards."""
    if connection.vendor != "postgresql":
        yield ""
        return
    name = f"peer_{uuid.uuid4().hex}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    try:
        yield urlsplit(environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
