"""What runs cost over their life: from claim to end, at rest, and when their scheduler dies. On both databases."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
from django.conf import settings
from django.db import connection

from benchmarks import peers
from benchmarks.harness import Figure, at_least, at_most, benchmark, interleaved
from benchmarks.inline import bare
from benchmarks.inline import rounds as inline
from benchmarks.stages import own_database, where
from llm.standin.environment import bundled_client, client_environment
from orchestration.states import TaskStatus
from orchestration.tests.factories import make_agent, make_project, make_task
from runtime import planning
from runtime.models import TaskRun
from runtime.states import RunStatus
from tests.schedulers import Scheduler, Site, site

ROUNDS = 3
DRAINED = 1_000
LAYERS, WIDTH = 20, 50
# By then its first rounds are done, and what it does once in a long while.
SETTLED_S = 6.0
WATCHED_S = 20.0

T = TypeVar("T")


@benchmark
def drain() -> Iterator[Figure]:
    """Runs that do nothing, from ready to review, every event on the disk, beside the queue that is at home on the same database."""
    project, agent = inline.staffed(_folder() / "drained")

    def ours() -> float:
        return _per_second(inline.run_all)

    def bare_rows() -> float:
        return _per_second(lambda: bare.run_all(project, agent))

    def _per_second(run: Callable[[], int]) -> float:
        inline.add_tasks(project, agent, DRAINED)
        began = time.monotonic()
        finished = run()
        return finished / (time.monotonic() - began)

    value, beside = interleaved(ours, bare_rows, rounds=ROUNDS)
    yield Figure(f"{where()}: runs per second, whole life, beside their bare rows", value, "1/s", beside=beside)

    peer = "procrastinate" if connection.vendor == "postgresql" else "djangoq2"
    name = f"{where()}: runs per second, whole life, {planning.BATCH} at a time"
    if not peers.is_there(peer):
        yield Figure(name, statistics.median(ours() for _ in range(ROUNDS)), "1/s")
        return
    value, beside = interleaved(ours, lambda: _of_peer(peer, "drain", DRAINED)["per_second"], rounds=ROUNDS)
    yield Figure(f"{name}, beside {peer}", value, "1/s", beside=beside, goal=at_least(3, of="ratio"))


@benchmark
def graph() -> Iterator[Figure]:
    """A layered graph of tasks that do nothing, all of them done at the end, each started when the two above it were done."""

    def ours() -> float:
        project, _ = inline.staffed(_folder() / "graph", auto_approve=True)
        inline.add_layers(project, LAYERS, WIDTH)
        began = time.monotonic()
        inline.run_all()
        elapsed = time.monotonic() - began
        assert project.tasks.filter(status=TaskStatus.DONE).count() == LAYERS * WIDTH
        return elapsed

    peer, bound = ("dbos", 0.5) if connection.vendor == "postgresql" else ("prefect", 0.1)
    name = f"{where()}: graph of {LAYERS * WIDTH:,} tasks"
    if not peers.is_there(peer):
        yield Figure(name, statistics.median(ours() for _ in range(ROUNDS)), "s")
        return
    value, beside = interleaved(ours, lambda: _of_peer(peer, "graph", LAYERS, WIDTH)["seconds"], rounds=ROUNDS)
    yield Figure(f"{name}, beside {peer}", value, "s", beside=beside, goal=at_most(bound, of="ratio"))


def _of_peer(peer: str, *given: object) -> dict[str, float]:
    with own_database() as url:
        return peers.measure(peer, *given, home=_folder(), PEER_DATABASE_URL=url)


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
        f"{where()}: scheduler killed to agent adopted, start of Python included",
        sorted(waits)[ROUNDS // 2],
        "s",
        goal=at_most(5),
    )


@benchmark
def at_rest() -> Iterator[Figure]:
    """What a scheduler with nothing to do takes of a core, and what a runner whose agent is silent keeps in memory."""
    with site(_folder(), BBB_TICK_S="5", BBB_POLL_S="0.25", BBB_LEASE_S="30") as at:
        idle = psutil.Process(at.start().process.pid)
        at.until(lambda: at.log("scheduler_started"), "the scheduler has started")
        time.sleep(SETTLED_S)
        yield Figure(
            f"{where()}: scheduler with nothing to do, share of a core", _share_of_core(idle), "%", goal=at_most(1)
        )
        _, run = _working(at)
        runner = psutil.Process(run.pid or 0)
        memory, client = _memory_mib(runner), _client_memory_mib()
        yield Figure("runner whose agent is silent, memory, beside its client's", memory, "MiB", client, at_most(80))


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


def _client_memory_mib() -> float | None:
    """Return what the client of Claude Code takes by itself while it waits for words; None where it is not installed."""
    try:
        command = [str(bundled_client()), "-p", "--input-format", "stream-json", "--output-format", "stream-json"]
    except FileNotFoundError:
        return None
    home = _folder()
    environment = client_environment(home, "http://127.0.0.1:9")
    with subprocess.Popen(
        [*command, "--verbose"],
        cwd=home,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        time.sleep(SETTLED_S)
        memory = _memory_mib(psutil.Process(process.pid))
        process.kill()
    return memory


def _memory_mib(process: psutil.Process) -> float:
    """Return the memory that a process has for itself."""
    return float(process.memory_full_info().uss) / 2**20


def _share_of_core(process: psutil.Process) -> float:
    """Return the percentage of a core that a process takes."""
    before = sum(process.cpu_times()[:2])
    time.sleep(WATCHED_S)
    return 100 * (sum(process.cpu_times()[:2]) - before) / WATCHED_S
