"""How long a ready task waits for its client, and how many runs a second get through."""

from __future__ import annotations

import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from django.conf import settings

from benchmarks.harness import Figure, at_least, at_most, benchmark
from orchestration.models import Agent, Project, Task
from orchestration.scheduler import plan
from orchestration.states import TaskStatus
from orchestration.tests.factories import make_agent, make_project, make_task
from runtime import planning
from runtime.models import SchedulerInstance, TaskRun
from runtime.rundir import ExitRecord
from runtime.services.claims import claim
from runtime.services.finishing import finish_run
from runtime.services.moves import move_run
from runtime.states import RunStatus
from tests.commands import ROOT

LIMIT_S = 60.0
SAMPLES = 20
OWNER = "benchmark"

T = TypeVar("T")


@benchmark
def ready_to_spawned() -> Iterator[Figure]:
    """From the commit that makes a task ready, in one process, to the start of its client's runner by another."""
    project = make_project(_folder() / "latency")
    agent = make_agent(project)
    with _scheduler():
        waits = sorted(_wait_for_spawn(project, agent) for _ in range(SAMPLES))
    bare = statistics.median(_spawn_python() for _ in range(SAMPLES))
    yield Figure("task ready to client spawned, median", statistics.median(waits), "ms", beside=bare)
    yield Figure("task ready to client spawned, 95th percentile", waits[int(0.95 * SAMPLES)], "ms", goal=at_most(400))


@benchmark
def runs_with_processes() -> Iterator[Figure]:
    """Tasks that do nothing, each with a worktree, a runner process and a commit-free review, one agent four at a time."""
    project = make_project(_folder() / "processes")
    agent = make_agent(project, max_parallel_runs=4)
    for _ in range(SAMPLES):
        make_task(project, assignee=agent)
    began = time.monotonic()
    subprocess.run([sys.executable, ROOT / "manage.py", "runscheduler", "--once"], check=True, capture_output=True)
    rate = SAMPLES / (time.monotonic() - began)
    assert Task.objects.filter(project=project, status=TaskStatus.REVIEW).count() == SAMPLES
    yield Figure("runs per second, with their processes", rate, "1/s", beside=1000 / _spawn_python())


@benchmark
def runs_without_processes() -> Iterator[Figure]:
    """What the database work of a run costs: claim, start and finish of no-op runs in this process."""
    project = make_project(_folder() / "pure", max_parallel_runs=16)
    agent = make_agent(project, max_parallel_runs=16)
    for _ in range(10 * SAMPLES):
        make_task(project, assignee=agent)
    before = _commits_per_second()
    began = time.monotonic()
    finished = 0
    while runs := _claim():
        for run in runs:
            move_run(run, RunStatus.RUNNING, actor=OWNER, fence=True)
            finish_run(run, ExitRecord(outcome="finished", message="Nothing to do."))
        finished += len(runs)
    rate = finished / (time.monotonic() - began)
    assert finished == 10 * SAMPLES
    commits = (before + _commits_per_second()) / 2
    yield Figure("runs per second, without processes", rate, "1/s", beside=commits, goal=at_least(0.02, of="ratio"))


def _claim() -> list[TaskRun]:
    # The default cap is made for processes; here there are none.
    settings.MAX_PARALLEL_RUNS = 16
    room = planning.room()
    return claim(plan(planning.candidates(room), room).start, owner=OWNER)


def _folder() -> Path:
    return Path(tempfile.mkdtemp(dir=settings.BBB_HOME))


@contextmanager
def _scheduler() -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, ROOT / "manage.py", "runscheduler"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _until(SchedulerInstance.objects.exists)
        yield
    finally:
        process.terminate()
        process.wait(LIMIT_S)


def _wait_for_spawn(project: Project, agent: Agent) -> float:
    """Return the milliseconds until the runner's output file was opened, which is the step before its process."""
    task = make_task(project, assignee=agent)
    began = time.time_ns()
    run = _until(lambda: TaskRun.objects.filter(task=task).exclude(run_dir="").first())
    output = Path(run.run_dir) / "stdout"
    _until(output.exists)
    spawned = output.stat().st_mtime_ns
    _until(lambda: Task.objects.filter(pk=task.pk, status=TaskStatus.REVIEW).exists())
    return max(0.0, (spawned - began) / 1e6)


def _until(look: Callable[[], T | None]) -> T:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.005)
    raise AssertionError("waited too long")


def _spawn_python() -> float:
    """Return the milliseconds an empty Python process takes from start to end."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return (time.monotonic() - began) * 1000


def _commits_per_second(seconds: float = 1.0) -> float:
    """Return how many transactions of two statements SQLite commits bare, with the settings of the product."""
    with tempfile.TemporaryDirectory(dir=settings.BBB_HOME) as folder:
        connection = sqlite3.connect(f"{folder}/bare.db", isolation_level=None)
        for statement in (
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=FULL",
            "CREATE TABLE t (id INTEGER PRIMARY KEY, n)",
        ):
            connection.execute(statement)
        connection.execute("INSERT INTO t VALUES (1, 0)")
        began, count = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            for statement in (
                "BEGIN IMMEDIATE",
                "UPDATE t SET n = n + 1 WHERE id = 1",
                "INSERT INTO t (n) VALUES (1)",
                "COMMIT",
            ):
                connection.execute(statement)
            count += 1
        connection.close()
    return count / (time.monotonic() - began)
