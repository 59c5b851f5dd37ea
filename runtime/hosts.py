"""Which machine this is."""

from __future__ import annotations

import socket
import time
from functools import cache
from pathlib import Path

# The monotonic clock of Linux stands still while the machine sleeps; elsewhere there is only that one.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@cache
def host_id() -> str:
    """Return an id that survives a reboot and differs between machines."""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            if found := Path(path).read_text().strip():
                return f"{socket.gethostname()}-{found[:12]}"[:64]
        except OSError:
            continue
    return socket.gethostname()[:64]


def uptime_s() -> float:
    """Return the seconds since this machine was started, its sleep included: no step of its clock shows in it."""
    return time.clock_gettime(_CLOCK)
