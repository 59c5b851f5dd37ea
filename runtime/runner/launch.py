"""Start a program that ends when its runner does: `python -I -S launch.py RUNNER_PID PROGRAM ARGUMENT…`.

A runner that is killed can end nothing any more, so the kernel does it: SIGTERM, upon which the client also ends the
commands it has started. Run as a file, by itself, so that it costs no imports.
"""

from __future__ import annotations

import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    """Become the program. Exits 1 when the runner died before the kernel was told."""
    runner, program = int(argv[0]), argv[1:]
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != runner:
        sys.exit(1)
    # Python ignores these, and what is ignored stays ignored in the program: `yes | head` would never end.
    for name in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(name, signal.SIG_DFL)
    os.execvp(program[0], program)  # noqa: S606  (becoming the program is the point)


if __name__ == "__main__":
    main(sys.argv[1:])
