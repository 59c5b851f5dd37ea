"""Real schedulers for tests: `manage.py runscheduler` over the test's own database, what they log and what they leave.

A test that uses them needs `django_db(transaction=True)`: what it writes has to be seen by other processes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psutil
from django.db import connection

from events.models import Event
from events.states import EventType
from runtime.models import Slot, TaskRun
from runtime.rundir import RunDirectory
from runtime.tests.runners import all_processes, is_gone
from tests.commands import ROOT

T = TypeVar("T")
Line = dict[str, Any]

LIMIT_S = 90.0
# So that nothing waits for a time that a test could only wait for as well. The lease is longer than any test: what is
# adopted is adopted because its scheduler is gone.
_SETTINGS = {"BBB_POLL_S": "0.05", "BBB_RETRY_BASE_S": "0", "BBB_STOP_GRACE_S": "5", "BBB_LEASE_S": "3600"}


@dataclass
class Scheduler:
    """A scheduler process."""

    process: subprocess.Popen[bytes]
    stderr: Path

    def stop(self) -> int:
        """Ask it to leave, and return its exit status."""
        self.process.terminate()
        return self.wait()

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def wait(self) -> int:
        return self.process.wait(LIMIT_S)

    def log(self, event: str = "") -> list[Line]:
        """Return the whole lines of its log; those of one event, if it is named."""
        whole, _, _ = self.stderr.read_text().rpartition("\n")
        lines = [json.loads(line) for line in whole.splitlines()]
        return [line for line in lines if event in ("", line["event"])]


class Site:
    """One installation: its data folder and its schedulers. The database is the test's."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.home = folder / "data"
        self.user = folder / "user"
        self.schedulers: list[Scheduler] = []
        self.tree = ROOT
        """The code of the schedulers that are started from now on."""
        for path in (self.home, self.user):
            path.mkdir(parents=True)
        self.environment = self._environment() | environment

    def _environment(self) -> dict[str, str]:
        measured = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        own = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.user),
            "TMPDIR": str(self.user),
            "CLAUDE_CONFIG_DIR": str(self.user / ".claude"),
            "BBB_HOME": str(self.home),
            "BBB_PROFILE": "test",
        }
        return measured | own | _SETTINGS | self._database()

    def _database(self) -> dict[str, str]:
        name = str(connection.settings_dict["NAME"])
        if connection.vendor == "postgresql":
            return {"DATABASE_URL": urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()}
        # SQLite follows the link before it names the files beside the database, so all processes share those too.
        (self.home / "beebeebrain.db").symlink_to(name)
        return {}

    def start(self, *options: str, **environment: str) -> Scheduler:
        """Start a scheduler."""
        stderr = self.home / f"scheduler-{len(self.schedulers) + 1}.log"
        with stderr.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "runscheduler", *options],
                cwd=self.tree,
                env=self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stream,
            )
        self.schedulers.append(Scheduler(process, stderr))
        return self.schedulers[-1]

    def run_once(self, *options: str, **environment: str) -> Scheduler:
        """Run a scheduler until it finds nothing more to do."""
        scheduler = self.start("--once", *options, **environment)
        assert scheduler.wait() == 0, scheduler.stderr.read_text()
        return scheduler

    def log(self, event: str = "") -> list[Line]:
        """Return the log of all schedulers, one after the other."""
        return [line for scheduler in self.schedulers for line in scheduler.log(event)]

    def until(self, look: Callable[[], T | None], what: str) -> T:
        """Wait until something holds, and return it. Fails with the end of each log."""
        deadline = time.monotonic() + LIMIT_S
        while not (found := look()):
            if time.monotonic() > deadline:
                raise AssertionError(f"waited too long until {what}\n{self._story()}")
            time.sleep(0.05)
        return found

    def processes(self, name: str = "") -> list[psutil.Process]:
        """Return what lives of this installation: schedulers, runners, and what agents have started."""
        return [process for process in all_processes() if self._is_ours(process, name)]

    def close(self) -> None:
        """End whatever is left."""
        for scheduler in self.schedulers:
            if scheduler.process.poll() is None:
                scheduler.kill()
        self.until(self._end_all, "nothing is left alive")

    def _end_all(self) -> bool:
        left = self.processes()
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return not left

    def _is_ours(self, process: psutil.Process, name: str) -> bool:
        try:
            is_ours = process.environ().get("HOME") == str(self.user) and name in ("", process.name())
            return is_ours and not is_gone(process)
        except (psutil.Error, OSError):
            return False

    def _story(self) -> str:
        logs = [*self.home.glob("scheduler-*.log"), *self.home.glob("runs/*/stderr")]
        return "\n".join(f"── {path}\n{path.read_text()[-3000:]}" for path in sorted(logs))


@contextmanager
def site(folder: Path, **environment: str) -> Iterator[Site]:
    """Give an installation; nothing of it is left alive afterwards."""
    made = Site(folder / "site", **environment)
    try:
        yield made
    finally:
        made.close()


def is_alive(pid: int | None) -> bool:
    return pid is not None and psutil.pid_exists(pid) and not is_gone(psutil.Process(pid))


def kill(*runs: TaskRun) -> None:
    """Kill the runners of runs, as the kernel does when memory runs out."""
    for run in runs:
        assert run.pid is not None
        os.kill(run.pid, signal.SIGKILL)


def directory(run: TaskRun, epoch: int | None = None) -> RunDirectory:
    """Return the run directory of one start of a run; of its last, if none is named."""
    last = Path(run.run_dir)
    return RunDirectory(last.with_name(f"{run.pk}.{epoch}") if epoch else last)


def moves(run: TaskRun) -> list[str]:
    """Return the statuses a run went through, by its events."""
    return [event.payload["after"] for event in run_moves() if event.run_id == run.pk]


def run_moves() -> list[Event]:
    return list(Event.objects.filter(type=EventType.RUN_STATUS_CHANGED).order_by("id"))


def slots_taken() -> dict[str, int]:
    """Return how many runs each key holds, by its kind; keys that hold none are left out."""
    return {slot.key.partition(":")[0]: slot.running for slot in Slot.objects.filter(running__gt=0)}
