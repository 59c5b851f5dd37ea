"""What runs cost over their life: from claim to end, at rest, and when their scheduler dies."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
from django.conf import settings

from benchmarks.harness import Figure, at_most, benchmark
from orchestration.tests.factories import make_agent, make_project, make_task
from runtime.models import TaskRun
from runtime.states import RunStatus
from tests.schedulers import Scheduler, Site, site

ROUNDS = 3
# By then its first rounds are done, and what it does once in a long while.
SETTLED_S = 6.0
WATCHED_S = 20.0

T = TypeVar("T")


@benchmark
def adoption() -> Iterator[Figure]:
    """From `kill -9` of a scheduler to the moment when the next one, started at once, has taken over its running agent."""
    with site(_folder()) as at:
        scheduler, run = _working(at)
        waits = []
        for _ in range(ROUNDS):
            scheduler, waited = _replaced(at, scheduler, run)
            waits.append(waited)
    yield Figure(
        "scheduler killed to agent adopted, start of Python included", sorted(waits)[ROUNDS // 2], "s", goal=at_most(5)
    )


@benchmark
def at_rest() -> Iterator[Figure]:
    """What a scheduler with nothing to do takes of a core, and what a runner whose agent is silent keeps in memory."""
    with site(_folder(), BBB_TICK_S="5", BBB_POLL_S="0.25", BBB_LEASE_S="30") as at:
        idle = psutil.Process(at.start().process.pid)
        at.until(lambda: at.log("scheduler_started"), "the scheduler has started")
        time.sleep(SETTLED_S)
        yield Figure("scheduler with nothing to do, share of a core", _share_of_core(idle), "%", goal=at_most(1))
        _, run = _working(at)
        runner = psutil.Process(run.pid or 0)
        yield Figure(
            "runner whose agent is silent, memory", runner.memory_full_info().uss / 2**20, "MiB", goal=at_most(80)
        )


def _folder() -> Path:
    return Path(tempfile.mkdtemp(dir=settings.BBB_HOME))


def _working(at: Site) -> tuple[Scheduler, TaskRun]:
    """Have an agent work that never ends."""
    project = make_project(_folder() / "repo")
    make_agent(project)
    task = make_task(project, description="noop: hang")
    scheduler = at.schedulers[-1] if at.schedulers else at.start()
    at.until(lambda: TaskRun.objects.filter(task=task, status=RunStatus.RUNNING, pid__isnull=False).first(), "it works")
    run = at.until(lambda: TaskRun.objects.filter(task=task).exclude(session_id="").first(), "its agent has begun")
    return scheduler, run


def _replaced(at: Site, scheduler: Scheduler, run: TaskRun) -> tuple[Scheduler, float]:
    before = TaskRun.objects.values_list("owner", flat=True).get(pk=run.pk)
    began = time.monotonic()
    os.kill(scheduler.process.pid, signal.SIGKILL)
    following = at.start()
    _until(lambda: not TaskRun.objects.filter(pk=run.pk, owner=before).exists())
    waited = time.monotonic() - began
    scheduler.wait()
    return following, waited


def _until(look: Callable[[], bool]) -> None:
    while not look():
        time.sleep(0.01)


def _share_of_core(process: psutil.Process) -> float:
    """Return the percentage of a core that a process takes."""
    before = sum(process.cpu_times()[:2])
    time.sleep(WATCHED_S)
    return 100 * (sum(process.cpu_times()[:2]) - before) / WATCHED_S
