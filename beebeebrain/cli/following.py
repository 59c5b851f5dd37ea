"""Reading on and on: by cursor, so that nothing is missed, also while the server is away for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from beebeebrain.cli import output
from beebeebrain.cli.errors import ExitCode, Refusal, Unreachable

T = TypeVar("T")

# How soon something new is seen.
POLL_S = 0.5
_LONGEST_PAUSE_S = 10.0


def patiently(read: Callable[[], T], *, on_return: Callable[[], None] = lambda: None) -> T:
    """Return what `read` returns; while the server is away or overloaded, try again, ever less often.

    `on_return` is called when it is back, and may raise if what was read before does not hold any more.
    """
    pause, was_away = POLL_S, False
    while True:
        try:
            found = read()
        except (Unreachable, Refusal) as error:
            if error.exit_code != ExitCode.UNAVAILABLE:
                raise
            if not was_away:
                output.note(f"{error}\nWaiting for it; Ctrl-C ends.")
            was_away = True
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        else:
            if was_away:
                on_return()
                output.note("The server is back; nothing was missed.")
            return found


def wait() -> None:
    """Wait until it is worth looking again."""
    time.sleep(POLL_S)
