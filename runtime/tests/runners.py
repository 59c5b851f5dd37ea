"""Real runner processes for tests, and what tests ask of one. Django-free, like the runner itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

import runtime
from runtime.rundir import ExitRecord, RunDirectory, RunRequest

CODE = Path(runtime.__file__).parent.parent
DEADLINE_S = 90.0

_REQUEST: dict[str, Any] = {
    "run_id": 7,
    "epoch": 1,
    "task_id": 3,
    "agent_id": 5,
    "trace_id": "trace-of-the-test",
    "provider": "noop",
    "model": "",
    "prompt": "Do it.",
    "system_append": "You are an agent of a test.",
    "is_resumed": False,
    "setup_command": "",
    "checks": [],
    "permission_mode": "dontAsk",
    "allowed_tools": [],
    "max_turns": 50,
    "max_cost_usd": 0.0,
    "session_cost_usd": 0.0,
    "timeout_s": 60.0,
    "idle_timeout_s": 30.0,
    "ask_wait_s": 20.0,
    "max_check_rounds": 2,
}


@dataclass
class Runner:
    """A runner that was started."""

    directory: RunDirectory
    environment: dict[str, str]
    process: subprocess.Popen[bytes]

    @property
    def workspace(self) -> Path:
        return Path(self.directory.request().workspace)

    def wait(self) -> ExitRecord:
        """Wait for the end and return how the run ended. Fails with the runner's stderr."""
        code = self.process.wait(timeout=DEADLINE_S)
        found = self.directory.exit()
        assert code == 0 and found is not None, (code, self.stderr())
        return found

    def stderr(self) -> str:
        return (self.directory.path / "stderr").read_text()

    def lines(self, kind: str, type: str | None = None) -> list[dict[str, Any]]:
        """Return the bodies of the lines of one kind; of system lines, of one type."""
        bodies = [line["body"] for line, _ in self.directory.lines() if line["kind"] == kind]
        return [body for body in bodies if type is None or body["type"] == type]

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def tagged(self) -> list[psutil.Process]:
        """Return what carries this run's tag and lives, whoever its parent is."""
        return [process for process in all_processes() if _has_tag(process, self.environment["BBB_RUN"])]


def request(tmp_path: Path, **changes: Any) -> RunRequest:
    workspace = tmp_path / "worktree"
    workspace.mkdir(exist_ok=True)
    given = {"workspace": str(workspace), "session_id": str(uuid.uuid4())}
    return RunRequest(**{**_REQUEST, **given, **changes})


def resumed(runner: Runner, **changes: Any) -> RunRequest:
    """Return the request of the next epoch of the same run, in the same session."""
    before = runner.directory.request()
    return replace(before, **{"epoch": before.epoch + 1, "is_resumed": True, **changes})


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """Return a clean environment with a home of its own."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    plain = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(home), "TMPDIR": str(tmp_path)}
    return {**plain, "BBB_RUN": f"test-{uuid.uuid4()}", **more}


@contextmanager
def started(tmp_path: Path, wanted: RunRequest, **more: str) -> Iterator[Runner]:
    """Start a runner; whatever is left of it is killed afterwards."""
    directory = RunDirectory.create(tmp_path / "runs" / f"{wanted.run_id}.{wanted.epoch}", wanted)
    clean = environment(tmp_path, **more)
    with (directory.path / "stdout").open("wb") as stdout, (directory.path / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "runtime.runner", str(directory.path)],
            cwd=CODE,
            env=clean,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    runner = Runner(directory, clean, process)
    try:
        yield runner
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for left in runner.tagged():
            left.kill()


def until(look: Callable[[], Any], what: str = "it") -> Any:
    """Wait until something holds, and return it."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited too long for {what}")


def all_processes() -> Iterator[psutil.Process]:
    """Yield every process, looked up anew: `process_iter` remembers who had a pid, and takes its next holder for dead."""
    for pid in psutil.pids():
        with suppress(psutil.NoSuchProcess):
            yield psutil.Process(pid)


def is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _has_tag(process: psutil.Process, tag: str) -> bool:
    try:
        return process.environ().get("BBB_RUN") == tag and not is_gone(process)
    except psutil.Error:
        return False
