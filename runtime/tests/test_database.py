from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection

from runtime.database import reconnect

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="it speaks of a file"),
]


@contextmanager
def another(path: Path) -> Iterator[None]:
    """Let a database with one bee take the place of ours."""
    hive(path, "one")
    ours = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = str(path)
    try:
        reconnect()
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = ours


def hive(path: Path, bee: str) -> Path:
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE bee (name text)")
        raw.execute("INSERT INTO bee VALUES (?)", [bee])
    raw.close()
    return path


def bee() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM bee")
        return str(cursor.fetchone()[0])


def test_a_connection_is_kept_as_long_as_its_file_is_there(tmp_path: Path) -> None:
    with another(tmp_path / "bees.db"):
        bee()
        opened = connection.connection
        reconnect()
        assert connection.connection is opened


def test_a_file_that_took_the_place_of_the_one_before_is_what_is_read(tmp_path: Path) -> None:
    with another(tmp_path / "bees.db"):
        before = bee()
        hive(tmp_path / "other.db", "two").replace(tmp_path / "bees.db")
        reconnect()
        assert (before, bee()) == ("one", "two")


def test_a_file_that_has_gone_is_noticed(tmp_path: Path) -> None:
    with another(tmp_path / "bees.db"):
        bee()
        (tmp_path / "bees.db").unlink()
        reconnect()
        assert connection.connection is None
