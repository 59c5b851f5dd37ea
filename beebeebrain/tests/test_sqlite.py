from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db.utils import OperationalError

from beebeebrain.sqlite.base import Cursor, DatabaseWrapper

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


def test_a_transaction_begins_when_the_one_before_has_ended(path: Path, rival: sqlite3.Connection) -> None:
    wrapper = connect(path, 60)
    threading.Timer(0.05, rival.rollback).start()
    begin(wrapper)
    assert wrapper.connection.in_transaction
    wrapper.close()


def test_patience_has_an_end(path: Path, rival: sqlite3.Connection) -> None:
    wrapper = connect(path, 0.05)
    with pytest.raises(OperationalError, match="locked"):
        begin(wrapper)
    wrapper.close()


def test_a_write_outside_of_transactions_waits_as_well(path: Path, rival: sqlite3.Connection) -> None:
    wrapper = connect(path, 60)
    threading.Timer(0.05, rival.rollback).start()
    wrapper.cursor().execute("INSERT INTO bee DEFAULT VALUES")
    assert wrapper.cursor().execute("SELECT count(*) FROM bee").fetchone() == (1,)
    wrapper.close()


class Watched(DatabaseWrapper):
    """A connection that tells when it tries to take the lock, and when it has in vain."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.inc_thread_sharing()
        self.tries, self.looked = threading.Event(), threading.Event()

    def create_cursor(self, name: str | None = None) -> Any:
        watched = self

        class WatchedCursor(Cursor):
            def _wait_to(self, run: Callable[[], Any]) -> Any:
                return super()._wait_to(partial(watched.watch, run))

        return self.connection.cursor(factory=partial(WatchedCursor, patience_s=self.patience_s))

    def watch(self, run: Callable[[], Any]) -> Any:
        self.tries.set()
        try:
            return run()
        except sqlite3.OperationalError:
            self.looked.set()
            raise


def test_who_waits_holds_up_no_thread_that_clears_its_cursors_away(path: Path) -> None:
    """Python's garbage collector closes a cursor in any thread, also in the one that holds the write lock."""
    busy, patient = connect(path, 60), Watched(connect(path, 5).settings_dict)
    forgotten = patient.cursor().execute("SELECT 1")
    patient.tries.clear()
    begin(busy)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(patient.cursor().execute, "INSERT INTO bee DEFAULT VALUES")
        assert patient.tries.wait(60)
        del forgotten
        end(busy)
        waiting.result()
    busy.close()
    patient.close()


def test_who_writes_again_at_once_comes_after_the_thread_that_waits(path: Path) -> None:
    busy, patient = connect(path, 60), Watched(connect(path, 60).settings_dict)
    begin(busy)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(write, patient)
        assert patient.looked.wait(60)
        for _ in range(3):
            end(busy)
            begin(busy)
        written = busy.connection.execute("SELECT count(*) FROM bee").fetchone()[0]
        end(busy)
        waiting.result()
    busy.close()
    patient.close()
    assert written == 1


def test_who_gives_up_does_not_hold_up_the_line(path: Path, rival: sqlite3.Connection) -> None:
    impatient = [connect(path, patience_s) for patience_s in (0.2, 0.1)]
    patient = connect(path, 60)
    for wrapper in (*impatient, patient):
        wrapper.inc_thread_sharing()
    with ThreadPoolExecutor(3) as pool:
        late, last = [pool.submit(write, wrapper) for wrapper in impatient], pool.submit(write, patient)
        for each in late:
            with pytest.raises(OperationalError, match="locked"):
                each.result()
        rival.rollback()
        last.result()
    for wrapper in (*impatient, patient):
        wrapper.close()


def write(wrapper: DatabaseWrapper) -> None:
    begin(wrapper)
    wrapper.connection.execute("INSERT INTO bee DEFAULT VALUES")
    end(wrapper)


def begin(wrapper: DatabaseWrapper) -> None:
    wrapper.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)


def end(wrapper: DatabaseWrapper) -> None:
    wrapper.commit()
    wrapper.set_autocommit(True)
