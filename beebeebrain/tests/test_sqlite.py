from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db.utils import OperationalError

from beebeebrain.sqlite.base import DatabaseWrapper

# It opens databases of its own.
pytestmark = pytest.mark.django_db


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "bees.db"
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("CREATE TABLE bee (id INTEGER PRIMARY KEY)")
    raw.close()
    return path


@pytest.fixture
def rival(path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody who holds the write lock."""
    raw = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    raw.execute("BEGIN IMMEDIATE")
    yield raw
    raw.close()


def connect(path: Path, timeout_s: float) -> DatabaseWrapper:
    options = {"transaction_mode": "IMMEDIATE", "timeout": timeout_s}
    given = {"ENGINE": "beebeebrain.sqlite", "NAME": str(path), "OPTIONS": options, "TIME_ZONE": None}
    plain = {"AUTOCOMMIT": True, "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": False}
    return DatabaseWrapper({**given, **plain})


def busy_timeout(wrapper: DatabaseWrapper) -> int:
    return int(wrapper.connection.execute("PRAGMA busy_timeout").fetchone()[0])


def test_a_transaction_begins_when_the_one_before_has_ended(path: Path, rival: sqlite3.Connection) -> None:
    wrapper = connect(path, 60)
    threading.Timer(0.05, rival.rollback).start()
    wrapper.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
    assert wrapper.connection.in_transaction
    wrapper.close()


def test_patience_has_an_end(path: Path, rival: sqlite3.Connection) -> None:
    wrapper = connect(path, 0.05)
    with pytest.raises(OperationalError, match="locked"):
        wrapper.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
    assert busy_timeout(wrapper) == 50
    wrapper.close()


def test_what_is_no_transaction_waits_as_sqlite_does(path: Path) -> None:
    wrapper = connect(path, 7)
    wrapper.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
    assert busy_timeout(wrapper) == 7000
    wrapper.rollback()
    wrapper.close()
