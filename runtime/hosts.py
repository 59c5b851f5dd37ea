"""Which machine this is."""

from __future__ import annotations

import socket
from functools import cache
from pathlib import Path


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
