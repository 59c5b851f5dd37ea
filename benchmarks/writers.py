"""Several processes that write to one SQLite: whether each has its share, and how long a person's command takes meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from benchmarks.harness import Figure, at_least, at_most, benchmark
from benchmarks.inline import rounds as inline
from orchestration.models import Task
from orchestration.tests.factories import ACTOR, make_task
from runtime.services import commands
from tests.commands import ROOT

ROUNDS = 3
WRITTEN_S = 3.0
DRAINED = 2_000
# A person is slower than this; it is to have enough commands by the time all is drained.
EVERY_S = 0.02


@benchmark
def shares() -> Iterator[Figure]:
    """Two processes, each with one command after the other for a few seconds: the smaller share of what was written."""
    project, _ = inline.staffed(_folder())
    tasks = [make_task(project), make_task(project)]
    smaller = sorted(_smaller_share(tasks) for _ in range(ROUNDS))
    yield Figure("SQLite: smaller share of two writing processes", smaller[ROUNDS // 2], "", goal=at_least(0.3))
    yield Figure("SQLite: smaller share in the worst round", smaller[0], "", goal=at_least(0.3))


@benchmark
def commands_meanwhile() -> Iterator[Figure]:
    """A person pauses and resumes a task while one process drains runs and another carries logs over."""
    project, agent = inline.staffed(_folder(), at_once=inline.FEW)
    inline.add_tasks(project, agent, DRAINED)
    own, _ = inline.staffed(_folder(), is_paused=True)
    task = make_task(own)
    waits = []
    with _busy("drain"), _busy("logs") as logs:
        while logs.poll() is None and Task.objects.filter(project=project, status="todo").exists():
            waits.append(_command_ms(task))
            time.sleep(EVERY_S)
    waits.sort()
    name = f"SQLite: a person's command while {DRAINED:,} runs drain, {inline.FEW} at a time"
    yield Figure(f"{name}, median", waits[len(waits) // 2], "ms")
    yield Figure(f"{name}, 99th percentile of {len(waits)}", waits[int(0.99 * len(waits))], "ms", goal=at_most(100))


def _command_ms(task: Task) -> float:
    task.refresh_from_db()
    command = commands.resume_task if task.is_held else commands.pause_task
    began = time.monotonic()
    command(task, actor=ACTOR)
    return (time.monotonic() - began) * 1000


def _smaller_share(tasks: list[Task]) -> float:
    writers = [_start("write", str(task.pk)) for task in tasks]
    counts = [int(json.loads(writer.communicate()[0])) for writer in writers]
    return min(counts) / sum(counts)


@contextmanager
def _busy(*given: str) -> Iterator[subprocess.Popen[str]]:
    process = _start(*given)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def _start(*given: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.inline", *given]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _folder() -> Path:
    return Path(tempfile.mkdtemp(dir=settings.BBB_HOME)) / "repo"
