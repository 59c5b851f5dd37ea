"""Commands that a person can stop: Ctrl-C reaches the command, and we wait until it has put its things away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
STOPPED = 130
PROGRAMS = Path(sys.executable).parent


def run(command: list[str], more: Mapping[str, str | None]) -> int:
    """Run a command from the project's folder and return its exit status, as a shell would give it.

    `more` is added to the environment; None removes. Programs of this interpreter's environment are found first.
    Raises KeyboardInterrupt, once the command has ended, if a person or a supervisor asked us to stop.
    """
    sys.stdout.flush()
    with _stops_held() as stops:
        process = subprocess.Popen(command, cwd=ROOT, env=_environment(more))
        status = _wait(process, stops)
    if stops:
        raise KeyboardInterrupt
    return _as_shell(status)


def run_together(
    commands: Sequence[tuple[list[str], Mapping[str, str | None]]], *, shown_at_once: Collection[int] = ()
) -> Iterator[tuple[int, int]]:
    """Run commands side by side; as each ends, show what it printed, and yield its index and exit status. Otherwise like `run`.

    `shown_at_once` are the indices of those that print for themselves.
    """
    sys.stdout.flush()
    with ExitStack() as stack, _stops_held() as stops:
        prints = [
            None if index in shown_at_once else stack.enter_context(tempfile.TemporaryFile())
            for index in range(len(commands))
        ]
        processes = [
            subprocess.Popen(
                command,
                cwd=ROOT,
                env=_environment(more),
                stdout=out,
                stderr=None if out is None else subprocess.STDOUT,
            )
            for (command, more), out in zip(commands, prints, strict=True)
        ]
        while left := [index for index, process in enumerate(processes) if process.returncode is None]:
            for index in left:
                if (status := _look(processes[index], stops)) is not None:
                    if (out := prints[index]) is not None:
                        _show(commands[index][0], out)
                    yield index, _as_shell(status)
    if stops:
        raise KeyboardInterrupt


def _environment(more: Mapping[str, str | None]) -> dict[str, str]:
    environment = {name: value for name, value in {**os.environ, **more}.items() if value is not None}
    return environment | {"PATH": f"{PROGRAMS}{os.pathsep}{environment.get('PATH', os.defpath)}"}


def _as_shell(status: int) -> int:
    return status if status >= 0 else 128 - status


def _show(command: list[str], out: IO[bytes]) -> None:
    out.seek(0)
    sys.stdout.write(f"$ {' '.join(command)}\n{out.read().decode(errors='replace')}")
    sys.stdout.flush()


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
    while (status := _look(process, stops)) is None:
        pass
    return status


def _look(process: subprocess.Popen[bytes], stops: list[int]) -> int | None:
    """Wait for a moment; return the status of a process that has ended."""
    try:
        return process.wait(timeout=0.2)
    except subprocess.TimeoutExpired:
        if SIGTERM in stops:
            process.terminate()
        return None
