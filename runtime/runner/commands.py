"""Run the project's own shell commands in the worktree: the setup once, the checks after the agent."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime import processes

# A test suite may take its time; the run's own limit holds besides.
TIMEOUT_S = 1800.0
# The end of the output is where it says what is wrong.
MAX_OUTPUT = 32 * 1024
# The exit code of a command that ran out of time, as `timeout` has it.
LATE = 124
_GRACE_S = 2.0
# Enough to empty a full pipe, though a daemon may keep on filling it.
_PIPE_READS = 4
_LAUNCH = (sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py")))


@dataclass(frozen=True)
class CommandResult:
    """How a command ended. `exit_code` is LATE when it ran out of time."""

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
    output = _Output()
    process = await output.of(
        *launcher,
        "/bin/sh",
        "-c",
        command,
        cwd=cwd,
        env=dict(environment),
    )
    is_late = False
    try:
        async with asyncio.timeout(timeout_s):
            await process.wait()
    except TimeoutError:
        is_late = True
    finally:
        if process.returncode is None:
            await asyncio.to_thread(_end, process.pid)
            await process.wait()
        output.close()
    if is_late:
        output.add(f"\nStopped after {timeout_s:.0f} s.".encode())
    exit_code = LATE if is_late or process.returncode is None else process.returncode
    return CommandResult(command=command, exit_code=exit_code, text=output.text())


def _end(pid: int) -> None:
    processes.end_processes([pid, *processes.descendants(pid)], _GRACE_S)


class _Output:
    """What a command writes, read through a pipe of our own; its last part is kept.

    The pipe is not awaited: a daemon of the command's may hold it open for ever. What the command itself wrote is in
    it when the command has ended.
    """

    def __init__(self) -> None:
        self._kept = b""
        self._cut = 0
        self._pipe = -1

    async def of(self, *argv: str, **given: Any) -> asyncio.subprocess.Process:
        """Start a command and read what it writes. Raises OSError."""
        self._pipe, write = os.pipe()
        os.set_blocking(self._pipe, False)
        asyncio.get_running_loop().add_reader(self._pipe, self._read)
        try:
            return await asyncio.create_subprocess_exec(
                *argv, **given, stdin=subprocess.DEVNULL, stdout=write, stderr=write, start_new_session=True
            )
        except BaseException:
            self.close()
            raise
        finally:
            os.close(write)

    def add(self, chunk: bytes) -> None:
        whole = self._kept + chunk
        self._kept = whole[-MAX_OUTPUT:]
        self._cut += len(whole) - len(self._kept)

    def close(self) -> None:
        """Read what is there, and no more."""
        if self._pipe >= 0:
            for _ in range(_PIPE_READS):
                if not self._read():
                    break
            asyncio.get_running_loop().remove_reader(self._pipe)
            os.close(self._pipe)
            self._pipe = -1

    def text(self) -> str:
        text = self._kept.decode(errors="replace").strip()
        return f"[{self._cut} bytes cut] …{text}" if self._cut else text

    def _read(self) -> bool:
        try:
            chunk = os.read(self._pipe, MAX_OUTPUT)
        except BlockingIOError:
            return False
        if not chunk:
            asyncio.get_running_loop().remove_reader(self._pipe)
        self.add(chunk)
        return bool(chunk)


def launcher() -> tuple[str, ...]:
    """Return the command through which everything of this run is started, so that nothing outlives this process."""
    return (*_LAUNCH, str(os.getpid()))
