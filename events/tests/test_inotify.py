from __future__ import annotations

import ctypes
import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from events import inotify

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("")
    return path


@pytest.fixture
def watch(path: Path) -> Iterator[int]:
    descriptor = inotify.watch(str(path))
    assert descriptor is not None
    yield descriptor
    os.close(descriptor)


def is_told(watch: int) -> bool:
    return select.select([watch], [], [], 0)[0] == [watch]


def test_a_write_is_told_until_it_is_taken_note_of(path: Path, watch: int) -> None:
    before = is_told(watch)
    path.write_text("x")
    told = is_told(watch)
    inotify.drain(watch)
    assert (before, told, is_told(watch)) == (False, True, False)


def test_reading_is_not_told(path: Path, watch: int) -> None:
    path.read_text()
    assert not is_told(watch)


def test_to_take_note_of_nothing_waits_for_nothing(watch: int) -> None:
    inotify.drain(watch)


def test_nobody_tells_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    assert inotify.watch(str(tmp_path / "none")) is None
    assert len(os.listdir("/proc/self/fd")) == before


def test_nobody_tells_where_the_system_cannot(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert inotify.watch(str(path)) is None
