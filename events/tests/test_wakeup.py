from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from django.db import connection

from events import inotify
from events.tests.factories import record
from events.wakeup import Listener

pytestmark = pytest.mark.django_db(transaction=True)

# Far longer than any hint needs; reached only when there is none.
PATIENCE_S = 60.0

on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL tells; nobody has to look")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="nobody tells of writes")


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener(poll_s=0.01) as listening:
        yield listening


def in_another_connection(work: Callable[[], object]) -> None:
    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def test_a_commit_of_another_connection_wakes(listener: Listener) -> None:
    in_another_connection(record)
    assert listener.wait(PATIENCE_S) is True


def test_a_commit_during_the_wait_wakes(listener: Listener) -> None:
    writer = threading.Timer(0.1, in_another_connection, [record])
    writer.start()
    assert listener.wait(PATIENCE_S) is True
    writer.join()


def test_a_hint_wakes_once(listener: Listener) -> None:
    in_another_connection(record)
    listener.wait(PATIENCE_S)
    assert listener.wait(0.05) is False


def test_without_a_commit_the_wait_ends_by_itself(listener: Listener) -> None:
    assert listener.wait(0.05) is False


def test_what_was_committed_before_listening_does_not_wake() -> None:
    in_another_connection(record)
    with Listener(poll_s=0.01) as listening:
        assert listening.wait(0.05) is False


def test_a_readable_descriptor_wakes(listener: Listener) -> None:
    read, write = os.pipe()
    try:
        os.write(write, b".")
        assert listener.wait(PATIENCE_S, [read]) is True
    finally:
        os.close(read)
        os.close(write)


def test_a_lost_connection_is_opened_again(listener: Listener) -> None:
    listener.close()
    assert listener.wait(0.05) is False
    in_another_connection(record)
    assert listener.wait(PATIENCE_S) is True


@on_sqlite
def test_pauses_grow_to_the_rest_while_nothing_happens_and_are_short_again_after_a_hint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []

    def select_now(_read: list[int], _write: list[int], _odd: list[int], timeout_s: float) -> tuple[list[int], ...]:
        pauses.append(timeout_s)
        if len(pauses) == 100:
            in_another_connection(record)
        return [], [], []

    monkeypatch.setattr(inotify, "watch", lambda _: None)
    with Listener(poll_s=0.001, rest_s=0.02) as listening:
        monkeypatch.setattr(select, "select", select_now)
        assert listening.wait(PATIENCE_S) is True
        assert pauses == sorted(pauses)
        assert (pauses[0], pauses[-1]) == (0.001, 0.02)
        in_another_connection(record)
        listening.wait(PATIENCE_S)
        assert pauses[-1] == 0.001


# Where the system tells of writes


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """What is written to it tells a listener that somebody has written to the database."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    monkeypatch.setattr(inotify, "watch", lambda _: read)  # the listener closes it
    yield write
    os.close(write)


@on_sqlite
@on_linux
def test_a_commit_ends_a_long_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    wait = select.select

    def noted(read: list[int], write: list[int], odd: list[int], timeout_s: float) -> tuple[list[int], ...]:
        pauses.append(timeout_s)
        return wait(read, write, odd, timeout_s)

    with Listener(poll_s=0.01, rest_s=PATIENCE_S) as listening:
        monkeypatch.setattr(select, "select", noted)
        listening._pause_s = PATIENCE_S
        in_another_connection(record)
        assert listening.wait(PATIENCE_S) is True
    assert pauses[:2] == [pytest.approx(PATIENCE_S, abs=1), 0.01]


@on_sqlite
def test_to_be_told_of_a_write_is_no_hint_without_a_commit(told: int) -> None:
    with Listener(poll_s=0.01, rest_s=0.02) as listening:
        os.write(told, b".")
        assert listening.wait(0.05) is False


@on_sqlite
def test_a_commit_nobody_tells_of_is_found_all_the_same(told: int) -> None:
    with Listener(poll_s=0.01, rest_s=0.02) as listening:
        in_another_connection(record)
        assert listening.wait(PATIENCE_S) is True


@on_sqlite
def test_a_descriptor_wakes_also_while_others_write(told: int) -> None:
    with Listener(poll_s=0.01, rest_s=0.02) as listening:
        read, write = os.pipe()
        os.write(told, b".")
        os.write(write, b".")
        assert listening.wait(PATIENCE_S, [read]) is True
        os.close(read)
        os.close(write)


@on_sqlite
@on_linux
def test_who_stops_listening_is_told_no_more() -> None:
    def watches() -> int:
        links = [os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
        return [os.readlink(link) for link in links if os.path.lexists(link)].count("anon_inode:inotify")

    before = watches()
    with Listener(poll_s=0.01, rest_s=0.02):
        listening = watches()
    assert (listening, watches()) == (before + 1, before)
