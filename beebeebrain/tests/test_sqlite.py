from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db.utils import NotSupportedError, OperationalError

from beebeebrain.sqlite import courtesy
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


def test_a_sqlite_that_is_too_old_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = connect(path, 1)
    monkeypatch.setattr(wrapper, "get_database_version", lambda: (3, 34, 1))
    with pytest.raises(NotSupportedError, match=r"SQLite 3\.35 or later is required \(found 3\.34\.1\)"):
        wrapper.check_database_version_supported()
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


class Stood(list[float]):
    """For how long somebody stood back, each time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._meanwhile = meanwhile
        monkeypatch.setattr(courtesy, "sleep", self._stand)

    def _stand(self, seconds: float) -> None:
        self.append(seconds)
        self._meanwhile()


@pytest.fixture
def seen(path: Path) -> Iterator[contextlib.ExitStack]:
    """Another process that waits, until it is closed: a lock on the same file, opened anew, is as good as one's of its own."""
    with contextlib.ExitStack() as waiter:
        waiter.enter_context(courtesy.waiting(f"{path}-waiting"))
        yield waiter


def test_a_process_that_waits_has_its_turn_before_one_that_comes(
    path: Path, seen: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    comes = connect(path, 60)
    stood = Stood(monkeypatch, partial(write_raw, path))
    begin(comes)
    assert comes.connection.execute("SELECT count(*) FROM bee").fetchone() == (1,)
    end(comes)
    assert stood == [courtesy.STAND_BACK_S]
    comes.close()


def test_nobody_stands_back_for_who_has_begun_or_given_up(
    path: Path, seen: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stood = Stood(monkeypatch)
    seen.close()
    comes = connect(path, 60)
    write(comes)
    write(comes)
    comes.close()
    assert stood == []


def test_of_several_that_wait_each_is_seen(
    path: Path, seen: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stood, flag = Stood(monkeypatch), f"{path}-waiting"
    with courtesy.waiting(flag):
        seen.close()
        with courtesy.waiting(flag):
            assert len(stood) == 2


def test_a_process_that_was_killed_while_it_waited_is_seen_no_more(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stood = Stood(monkeypatch)
    flag = f"{path}-waiting"
    waits = "import sys, time; from beebeebrain.sqlite.courtesy import waiting\nwith waiting(sys.argv[1]): print(flush=True); time.sleep(600)"
    with subprocess.Popen(
        [sys.executable, "-c", waits, flag], stdout=subprocess.PIPE, cwd=settings.BASE_DIR
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with courtesy.waiting(flag):
            pass
        process.kill()
    with courtesy.waiting(flag):
        pass
    assert len(stood) == 1


def test_a_process_that_was_stopped_while_it_looked_for_others_holds_up_nobody(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stood, flag = Stood(monkeypatch), f"{path}-waiting"
    stopped = os.open(flag, os.O_RDONLY | os.O_CREAT, 0o600)
    fcntl.flock(stopped, fcntl.LOCK_EX)
    with courtesy.waiting(flag):
        assert len(stood) == 1
    os.close(stopped)


def test_where_no_file_can_be_made_nobody_is_seen_and_all_goes_on() -> None:
    with courtesy.waiting("/nowhere/bees.db-waiting"):
        pass


def write_raw(path: Path) -> None:
    """Write as another process does that has waited: it does not stand back."""
    with contextlib.closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("INSERT INTO bee DEFAULT VALUES")


def write(wrapper: DatabaseWrapper) -> None:
    begin(wrapper)
    wrapper.connection.execute("INSERT INTO bee DEFAULT VALUES")
    end(wrapper)


def begin(wrapper: DatabaseWrapper) -> None:
    wrapper.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)


def end(wrapper: DatabaseWrapper) -> None:
    wrapper.commit()
    wrapper.set_autocommit(True)
