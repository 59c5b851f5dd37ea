"""Processes that want the same lock: who comes lets those find it free first who wait already."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from time import sleep

STAND_BACK_S = 0.003
"""Three looks of who waits; it may not be woken in time for the first."""


@contextmanager
def waiting(path: str) -> Iterator[None]:
    """Be seen to wait by other processes; where others are seen, stand back for a moment before.

    What is seen is a shared lock on the file at `path`, which ends with its process. One that is stopped while it waits
    costs the others that moment each time, and where there can be no such file nobody is seen.
    """
    try:
        seen = os.open(path, os.O_RDONLY | os.O_CREAT, 0o600)
    except OSError:  # the disk is full, or not to be written to: SQLite will say so
        yield
        return
    try:
        if not _can_take(seen, fcntl.LOCK_EX):
            sleep(STAND_BACK_S)
        _can_take(seen, fcntl.LOCK_SH)
        yield
    finally:
        os.close(seen)


def _can_take(seen: int, kind: int) -> bool:
    """Take the lock if that needs no waiting: somebody may have been stopped while it had it."""
    try:
        fcntl.flock(seen, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
