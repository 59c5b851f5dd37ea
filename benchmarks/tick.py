"""What one round of the dispatch loop costs, how that grows with the number of tasks, and how fast it claims. On both databases."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta

from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from benchmarks.harness import Figure, at_least, at_most, benchmark
from benchmarks.stages import where
from benchmarks.web.rows import fill
from events.models import Event
from orchestration.models import Agent, Project, Task
from orchestration.scheduler import plan
from orchestration.states import TaskStatus
from runtime import planning
from runtime.dispatcher import Dispatcher
from runtime.models import Slot, TaskRun
from runtime.states import RunStatus
from runtime.tests.halves import claim
from sql.inserts import insert_all

SMALL, MIDDLE, LARGE = 1_000, 100_000, 1_000_000
SAMPLES = 60
ROUNDS = 5
CLAIMED = 3 * planning.BATCH


@benchmark
def growth() -> Iterator[Figure]:
    """A round in which nothing can start, and the choice of the next tasks, with more and more tasks in the database."""
    rounds: defaultdict[int, list[float]] = defaultdict(list)
    choices: defaultdict[int, list[float]] = defaultdict(list)
    # What all are compared with first and last: the machine is not the same minutes later.
    for size in (SMALL, MIDDLE, LARGE, SMALL):
        _only(size)
        settings.MAX_PARALLEL_RUNS = 16
        choices[size] += _waits_ms(_choose)
        settings.MAX_PARALLEL_RUNS = 0
        rounds[size] += _waits_ms(Dispatcher().tick)
    for name, waits in (("a round that starts nothing", rounds), ("the choice of the next 16", choices)):
        found = {size: statistics.median(waits[size]) for size in waits}
        yield Figure(f"{where()}: {name}, {MIDDLE:,} tasks", found[MIDDLE], "ms", beside=found[SMALL])
        within = at_most(1.2, of="ratio")
        yield Figure(f"{where()}: {name}, {LARGE:,} tasks", found[LARGE], "ms", beside=found[SMALL], goal=within)


@benchmark
def claims() -> Iterator[Figure]:
    """Tasks claimed a second, as many at once as may be, beside the same rows written bare through the same connection."""
    _only(MIDDLE)
    settings.MAX_PARALLEL_RUNS = 10**6
    Project.objects.update(max_parallel_runs=10**6)
    Agent.objects.update(max_parallel_runs=10**6)
    pairs = sorted(
        ((_claims_per_second(), _bare_claims_per_second()) for _ in range(ROUNDS)), key=lambda it: it[0] / it[1]
    )
    ours, bare = pairs[ROUNDS // 2]
    yield Figure(
        f"{where()}: claims per second, {planning.BATCH} at a time",
        ours,
        "1/s",
        beside=bare,
        goal=at_least(0.5, of="ratio"),
    )


def _only(size: int) -> None:
    """Leave nothing in the database but so many tasks of which none is running."""
    call_command("flush", verbosity=0, interactive=False)
    fill(size)
    TaskRun.objects.all().delete()
    Task.objects.filter(status=TaskStatus.RUNNING).update(status=TaskStatus.DONE)
    # What is done by and by of itself, here before the measurement instead of at any moment of it.
    is_postgres = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        for step in ("VACUUM ANALYZE", "CHECKPOINT") if is_postgres else ("PRAGMA wal_checkpoint(TRUNCATE)",):
            cursor.execute(step)


def _choose() -> object:
    room = planning.room()
    chosen = plan(planning.candidates(room), room).start
    assert chosen
    return chosen


def _waits_ms(step: Callable[[], object]) -> list[float]:
    waits = []
    for _ in range(SAMPLES):
        began = time.perf_counter()
        step()
        waits.append((time.perf_counter() - began) * 1000)
    return waits


def _claims_per_second() -> float:
    count, began = 0, time.perf_counter()
    while count < CLAIMED:
        room = planning.room()
        count += len(claim(plan(planning.candidates(room), room).start[: planning.BATCH], owner="benchmark"))
    return count / (time.perf_counter() - began)


def _bare_claims_per_second() -> float:
    """Write what a claim writes, and nothing that makes it safe: the tasks, their runs, two events each."""
    count, began = 0, time.perf_counter()
    while count < CLAIMED:
        with transaction.atomic(), connection.cursor() as cursor:
            ids = list(Task.objects.due(timezone.now()).values_list("pk", flat=True)[: planning.BATCH])
            marks = ", ".join(["%s"] * len(ids))
            table = connection.ops.quote_name(Task._meta.db_table)
            claimed = f"UPDATE {table} SET status = %s, version = version + 1 WHERE id IN ({marks}) AND status = %s"  # noqa: S608  (names and marks of ours)
            cursor.execute(claimed, [TaskStatus.RUNNING, *ids, TaskStatus.TODO])
            agent = Agent.objects.order_by("pk").values_list("pk", flat=True)[0]
            insert_all(TaskRun, [_bare_run(id_, agent) for id_ in ids])
            insert_all(Event, [_bare_event(id_) for id_ in ids for _ in range(2)])
            Slot.objects.filter(key="global").update(running=len(ids))
        count += len(ids)
    return count / (time.perf_counter() - began)


def _bare_run(task_id: int, agent_id: int) -> TaskRun:
    until = timezone.now() + timedelta(seconds=30)
    key = f"bare-{task_id}"
    return TaskRun(
        task_id=task_id,
        agent_id=agent_id,
        attempt=1,
        status=RunStatus.QUEUED,
        idempotency_key=key,
        owner="b",
        lease_until=until,
    )


def _bare_event(task_id: int) -> Event:
    return Event(
        at=timezone.now(),
        type="task.status.changed",
        task_id=task_id,
        actor="b",
        trace_id="t",
        payload={"after": "running"},
    )
