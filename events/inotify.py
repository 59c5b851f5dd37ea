"""Tells of writes to a file: inotify, which Linux has and Python does not bring. Elsewhere nobody tells."""

from __future__ import annotations

import contextlib
import ctypes
import os

# IN_MODIFY; the flags of inotify_init1 are those of open.
_WRITTEN = 0x2
_MUCH = 64 * 1024


def watch(path: str) -> int | None:
    """Return a descriptor that is readable when the file has been written to; None where there is no such thing."""
    try:
        libc = ctypes.CDLL(None)
        descriptor: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, AttributeError, TypeError):
        return None  # no Linux
    if descriptor < 0:
        return None  # the user has too many
    if libc.inotify_add_watch(descriptor, os.fsencode(path), _WRITTEN) < 0:
        os.close(descriptor)
        return None
    return descriptor


def drain(descriptor: int) -> None:
    """Take what was told: the descriptor is readable again after the next write."""
    with contextlib.suppress(BlockingIOError):
        os.read(descriptor, _MUCH)
