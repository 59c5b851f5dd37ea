"""Commands that a person can stop: Ctrl-C reaches the command, and we wait until it has put its things away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT, SIGTERM

ROOT = Path(__file__).resolve().parent.parent
STOPPED = 130
PROGRAMS = Path(sys.executable).parent


def run(command: list[str], more: Mapping[str, str | None]) -> int:
    """Run a command from the project's folder and return its exit status, as a shell would give it.

    `more` is added to the environment; None removes. Programs of this interpreter's environment are found first.
    Raises KeyboardInterrupt, once the command has ended, if a person or a supervisor asked us to stop.
    """
    environment = {name: value for name, value in {**os.environ, **more}.items() if value is not None}
    environment["PATH"] = f"{PROGRAMS}{os.pathsep}{environment.get('PATH', os.defpath)}"
    sys.stdout.flush()
    with _stops_held() as stops:
        process = subprocess.Popen(command, cwd=ROOT, env=environment)
        status = _wait(process, stops)
    if stops:
        raise KeyboardInterrupt
    return status if status >= 0 else 128 - status


@contextmanager
def _stops_held() -> Iterator[list[int]]:
    """Collect the signals that ask us to stop. A handler, unlike SIG_IGN, is not inherited by the command."""
    stops: list[int] = []
    before = {number: signal.signal(number, lambda got, _: stops.append(got)) for number in (SIGINT, SIGTERM)}
    try:
        yield stops
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(process: subprocess.Popen[bytes], stops: list[int]) -> int:
    """Wait for the command. A terminal sends Ctrl-C to it as well; SIGTERM comes to us alone and is handed on."""
    while True:
        try:
            return process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            if SIGTERM in stops:
                process.terminate()
