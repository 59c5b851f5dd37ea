"""Processes of this host: which one a pid means, who belongs to a run, and how to end them.

A pid alone means nothing: it is used again after its process has gone. A pid with its start time and the boot it was
seen in names one process for ever, and nothing here signals a process that is not the one that was meant. Imports no
Django: scheduler and runner both use it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

TAG = "BBB_RUN"
"""Every process of a run carries this variable, the path of its run directory, whoever its parent is by now."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
# How long the kernel may take to end what was killed; a process that waits for a disk takes a moment.
_KILL_S = 5.0
_POLL_S = 0.02
# Looking through all processes of a host takes milliseconds.
_LOOK_S = 0.25
_GONE = {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}


@cache
def boot_id() -> str:
    """Return an id of this boot of this machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"boot-{psutil.boot_time():.0f}"


def start_ticks(pid: int) -> int | None:
    """Return when a process was started, in the kernel's ticks since boot; None when it is gone or a zombie.

    Elsewhere than on Linux: in hundredths of a second since the epoch.
    """
    if sys.platform != "linux":
        return _start_hundredths(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name, in parentheses, may hold spaces and parentheses itself.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])


def is_same_process(pid: int, ticks: int, boot: str) -> bool:
    """Tell whether the process that was seen with this start time, in this boot, still lives. Unknown counts as yes."""
    if boot != boot_id():
        return False
    try:
        return start_ticks(pid) == ticks
    except OSError:  # somebody keeps us from looking: no proof of death
        return True


def open_pidfd(pid: int, ticks: int) -> int | None:
    """Return a descriptor that becomes readable when the process ends, or None where there is none to be had."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        descriptor: int = os.pidfd_open(pid)
    except OSError:
        return None
    # Looked at once it is open: from here on the descriptor means this process and no later one.
    if start_ticks(pid) == ticks:
        return descriptor
    os.close(descriptor)
    return None


def descendants(pid: int) -> list[int]:
    """Return the children of a process, and theirs."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def tagged(tag: str) -> list[int]:
    """Return every living process that carries the tag of a run, this one aside."""
    return [process.pid for process in psutil.process_iter() if process.pid != os.getpid() and _has_tag(process, tag)]


def send_signal(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to processes and wait for nothing. Those that are gone are no error."""
    for pid in pids:
        if (process := _find(pid)) is not None:
            with suppress(psutil.Error):  # it is gone, or belongs to somebody else
                process.send_signal(number)


def tagged_below(root: Path) -> dict[str, list[int]]:
    """Return every living process that carries a tag below a folder, by tag, this one aside."""
    found: dict[str, list[int]] = {}
    for process in psutil.process_iter():
        tag = _tag(process)
        if tag.startswith(f"{root}/") and process.pid != os.getpid() and _find(process.pid) is not None:
            found.setdefault(tag, []).append(process.pid)
    return found


def end_processes(pids: Iterable[int], grace_s: float) -> None:
    """Ask processes to end, and end those that have not after `grace_s` seconds. Those that are gone are no error."""
    alive = [process for pid in pids if (process := _find(pid)) is not None]
    for number, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, _KILL_S)):
        for process in alive:
            with suppress(psutil.Error):  # it is gone, or belongs to somebody else
                process.send_signal(number)
        alive = _wait(alive, patience_s)


class Clearance:
    """The end of all processes that carry a tag, a step at each look, so that nobody waits: asked, then ended."""

    def __init__(self, tag: str, grace_s: float) -> None:
        self._tag = tag
        self._steps = [(signal.SIGTERM, grace_s), (signal.SIGKILL, _KILL_S)]
        self._next_look = self._until = 0.0

    def is_done(self) -> bool:
        """Take the next step that is due; True once nothing is left, or what is left cannot be ended."""
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + _LOOK_S
        left = tagged(self._tag)
        if not left or (now >= self._until and not self._steps):
            return True
        if now >= self._until:
            number, patience_s = self._steps.pop(0)
            send_signal(left, number)
            self._until = now + patience_s
        return False


def become_subreaper() -> None:
    """Make this process the parent of descendants whose own parent ends, so that a daemon cannot hide from it."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Have the kernel ask this process to end when its parent has. For a child between fork and exec."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)


def _start_hundredths(pid: int) -> int | None:
    process = _find(pid)
    return None if process is None else round(process.create_time() * 100)


def _find(pid: int) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None
    return process if _lives(process) else None


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() not in _GONE
    except psutil.NoSuchProcess:
        return False


def _has_tag(process: psutil.Process, tag: str) -> bool:
    # Looked up anew: `process_iter` remembers who had a pid at its last look, and takes who has it now for dead.
    return _tag(process) == tag and _find(process.pid) is not None


def _tag(process: psutil.Process) -> str:
    try:
        return process.environ().get(TAG, "")
    except (psutil.Error, OSError):  # gone, or somebody else's
        return ""


def _wait(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait for the end of processes; return those that are left."""
    until = time.monotonic() + seconds
    while (left := [process for process in processes if _lives(process)]) and time.monotonic() < until:
        time.sleep(_POLL_S)
    return left
