"""How long a ready task waits for its client, and how many runs a second get through with theirs. On both databases."""

from __future__ import annotations

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
from django.db import connection

from benchmarks import peers
from benchmarks.harness import Figure, at_most, benchmark, interleaved
from benchmarks.stages import own_database, where
from orchestration.models import Agent, Project, Task
from orchestration.states import TaskStatus
from orchestration.tests.factories import make_agent, make_project, make_task
from runtime.models import SchedulerInstance, TaskRun
from tests.commands import ROOT

LIMIT_S = 60.0
SAMPLES = 20
# A round of them; each has its whole run.
STARTED = 9

T = TypeVar("T")


@benchmark
def ready_to_started() -> Iterator[Figure]:
    """From the moment before a task is made ready, in one process, until its run is seen to have started in another.

    Started is what is committed and visible to everybody, which is later than what a peer tells of itself.
    """
    project = make_project(_folder() / "started")
    agent = make_agent(project)
    is_postgres = connection.vendor == "postgresql"
    name = f"{where()}: task ready to run started, median"
    with _scheduler():
        if is_postgres and peers.is_there("procrastinate"):
            value, beside = interleaved(lambda: _started_ms(project, agent), _procrastinate_ms)
            yield Figure(f"{name}, beside procrastinate", value, "ms", beside=beside, goal=at_most(1, of="ratio"))
            return
        value = statistics.median(_started_ms(project, agent) for _ in range(3))
        yield Figure(name, value, "ms", goal=None if is_postgres else at_most(10))


def _started_ms(project: Project, agent: Agent) -> float:
    return statistics.median(_wait_for_start(project, agent) for _ in range(STARTED))


def _procrastinate_ms() -> float:
    with own_database() as url:
        said = peers.measure("procrastinate", "wait", STARTED, home=_folder(), PEER_DATABASE_URL=url)
    return float(said["p50_ms"])


def _wait_for_start(project: Project, agent: Agent) -> float:
    began = time.monotonic()
    task = make_task(project, assignee=agent)
    started = TaskRun.objects.filter(task=task, started_at__isnull=False)
    _until(started.exists, every_s=0.001)
    waited = (time.monotonic() - began) * 1000
    _until(lambda: Task.objects.filter(pk=task.pk, status=TaskStatus.REVIEW).exists())
    return waited


@benchmark
def ready_to_spawned() -> Iterator[Figure]:
    """From the commit that makes a task ready, in one process, to the start of its client's runner by another."""
    project = make_project(_folder() / "latency")
    agent = make_agent(project)
    with _scheduler():
        waits = sorted(_wait_for_spawn(project, agent) for _ in range(SAMPLES))
    bare = statistics.median(_spawn_python() for _ in range(SAMPLES))
    name = f"{where()}: task ready to client spawned"
    yield Figure(f"{name}, median", statistics.median(waits), "ms", beside=bare)
    yield Figure(f"{name}, 95th percentile", waits[int(0.95 * SAMPLES)], "ms", goal=at_most(400))


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
    yield Figure(f"{where()}: runs per second, with their processes", rate, "1/s", beside=1000 / _spawn_python())


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


def _until(look: Callable[[], T | None], every_s: float = 0.005) -> T:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(every_s)
    raise AssertionError("waited too long")


def _spawn_python() -> float:
    """Return the milliseconds an empty Python process takes from start to end."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return (time.monotonic() - began) * 1000
