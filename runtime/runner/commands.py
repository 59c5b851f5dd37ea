"""Run the project's own shell commands in the worktree: the setup once, the checks after the agent."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime import processes

# A test suite may take its time; the run's own limit holds besides.
TIMEOUT_S = 1800.0
# The end of the output is where it says what is wrong.
MAX_OUTPUT = 32 * 1024
_DRAIN_S = 1.0
_GRACE_S = 2.0
_LAUNCH = (sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py")))


@dataclass(frozen=True)
class CommandResult:
    """How a command ended. `exit_code` is 124 when it ran out of time."""

    command: str
    exit_code: int
    text: str

    @property
    def is_ok(self) -> bool:
        return self.exit_code == 0


async def run_command(
    command: str,
    *,
    cwd: Path,
    environment: Mapping[str, str],
    launcher: tuple[str, ...],
    timeout_s: float = TIMEOUT_S,
) -> CommandResult:
    """Run a shell command to its end and return its output, of which the last part is kept. Raises OSError.

    A command that is stopped takes its processes with it; what one that ended left running ends with the run.
    """
    process = await asyncio.create_subprocess_exec(
        *launcher,
        "/bin/sh",
        "-c",
        command,
        cwd=cwd,
        env=dict(environment),
        start_new_session=True,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    output = _Tail()
    reader = asyncio.create_task(output.read(process.stdout))
    try:
        async with asyncio.timeout(timeout_s):
            exit_code = await process.wait()
    except TimeoutError:
        exit_code = 124
        output.add(f"\nStopped after {timeout_s:.0f} s.".encode())
    finally:
        if process.returncode is None:
            await asyncio.to_thread(_end, process.pid)
        # A daemon of the command's may hold the pipe open for ever: wait for its end only a moment.
        await asyncio.wait({reader}, timeout=_DRAIN_S)
        reader.cancel()
    return CommandResult(command=command, exit_code=exit_code, text=output.text())


def _end(pid: int) -> None:
    processes.end_processes([pid, *processes.descendants(pid)], _GRACE_S)


class _Tail:
    """The last part of an output."""

    def __init__(self) -> None:
        self._kept = b""
        self._cut = 0

    async def read(self, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(MAX_OUTPUT):
            self.add(chunk)

    def add(self, chunk: bytes) -> None:
        whole = self._kept + chunk
        self._kept = whole[-MAX_OUTPUT:]
        self._cut += len(whole) - len(self._kept)

    def text(self) -> str:
        text = self._kept.decode(errors="replace").strip()
        return f"[{self._cut} bytes cut] …{text}" if self._cut else text


def launcher() -> tuple[str, ...]:
    """Return the command through which everything of this run is started, so that nothing outlives this process."""
    return (*_LAUNCH, str(os.getpid()))
