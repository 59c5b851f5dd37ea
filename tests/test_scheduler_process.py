"""Schedulers as processes, killed and stopped as machines and people do it. The agent is a script: what its task says."""

from __future__ import annotations

import json
import os
import subprocess
import time
from datetime import datetime
from functools import partial
from typing import Any

import psutil
import pytest
from django.db import connection
from django.utils import timezone

from events.services import unit_of_work
from inbox.models import InboxItem
from inbox.services import approve_task
from orchestration.models import Project
from orchestration.tests.factories import ACTOR, git, make_task
from runtime.models import SchedulerInstance, TaskRun
from runtime.services.commands import pause_task
from runtime.services.finishing import finish_run
from runtime.states import RunStatus
from runtime.tests.factories import ending, running
from tests.hive import ONCE_THROUGH, TWICE_STARTED, Hive, assert_log_is_whole, spent, statuses
from tests.schedulers import Scheduler, Site, directory, is_alive, kill, moves, run_moves, slots_taken

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_task_starts_when_what_it_depends_on_has_landed_and_once_ends_by_itself(hive: Hive) -> None:
    parent = hive.task("write parent.txt one")
    child = hive.task("run test -f parent.txt && echo two > child.txt", depends_on=[parent])
    hive.site.run_once()
    assert statuses(parent, child) == ["review", "todo"]
    assert not TaskRun.objects.filter(task=child).exists()
    approve_task(parent, actor=ACTOR)
    hive.site.run_once()
    assert statuses(parent, child) == ["done", "review"]
    assert git(hive.repo, "show", "main:parent.txt") == "one"
    assert git(hive.repo, "show", f"bbb/{child.key}:child.txt") == "two"


def test_a_project_that_approves_by_itself_is_worked_off_in_one_go(hive: Hive) -> None:
    Project.objects.update(auto_approve=True)
    parent = hive.task("write parent.txt one")
    child = hive.task("write child.txt two", depends_on=[parent])
    hive.site.run_once()
    assert statuses(parent, child) == ["done", "done"]
    assert git(hive.repo, "show", "main:child.txt") == "two"
    first, second = TaskRun.objects.order_by("id")
    assert first.ended_at and second.started_at
    assert first.ended_at <= second.started_at


def test_max_runs_starts_so_many_and_leaves(hive: Hive) -> None:
    tasks = [hive.task(), hive.task()]
    assert hive.site.start("--max-runs", "1").wait() == 0
    assert sorted(statuses(*tasks)) == ["review", "todo"]
    assert TaskRun.objects.count() == 1


def test_a_stopped_scheduler_leaves_its_agent_to_the_next(hive: Hive) -> None:
    task = hive.long_task()
    first = hive.site.start()
    (before,) = hive.begun(task)
    assert first.stop() == 0
    assert is_alive(before.pid)
    assert SchedulerInstance.objects.count() == 0
    second = hive.site.start()
    hive.site.until(lambda: second.log("run_adopted"), "the run is adopted")
    hive.open_gate()
    (after,) = hive.finished(task)
    assert (after.pk, after.epoch, after.pid) == (before.pk, 1, before.pid)
    assert moves(after) == ONCE_THROUGH
    assert [len(hive.site.log(event)) for event in ("run_started", "run_adopted", "run_finished")] == [1, 1, 1]
    assert_log_is_whole(after, 1)


def test_an_idle_scheduler_leaves_when_it_is_told_to_and_not_at_its_next_tick(hive: Hive) -> None:
    # Longer than this test waits: it is the signal that ends its sleep.
    scheduler = hive.site.start(BBB_TICK_S="60", BBB_POLL_S="10")
    hive.site.until(lambda: scheduler.log("scheduler_started"), "it is there")
    scheduler.process.terminate()
    assert scheduler.process.wait(timeout=45) == 0


def test_a_killed_scheduler_neither_kills_nor_repeats_its_agents_work(hive: Hive) -> None:
    task, other = hive.long_task(), hive.long_task()
    first = hive.site.start()
    before = hive.begun(task, other)
    first.kill()
    assert all(is_alive(run.pid) for run in before)
    # The lease is an hour: what is adopted now is adopted because its scheduler is known to be dead.
    second = hive.site.start()
    hive.site.until(lambda: len(second.log("run_adopted")) == 2, "both runs are adopted")
    hive.open_gate()
    after = hive.finished(task, other)
    assert [(run.pk, run.epoch, run.pid) for run in after] == [(run.pk, 1, run.pid) for run in before]
    assert [moves(run) for run in after] == [ONCE_THROUGH, ONCE_THROUGH]
    assert spent() == (1.5, 2)
    assert [float(run.cost_usd) for run in after] == [0.75, 0.75]
    for run in after:
        assert_log_is_whole(run, 1)
    assert slots_taken() == {}


def test_what_a_killed_runner_leaves_goes_on_in_its_worktree(hive: Hive) -> None:
    task, other = hive.long_task(), hive.long_task()
    hive.site.start()
    before, neighbour = hive.begun(task, other)
    kill(before)
    (after,) = hive.finished(task)
    assert (after.pk, after.attempt, after.epoch) == (before.pk, 1, 2)
    assert (after.workspace, after.session_id) == (before.workspace, before.session_id)
    assert moves(after) == TWICE_STARTED
    assert git(hive.repo, "show", f"bbb/{task.key}:begun") == "begun"
    assert_log_is_whole(after, 1, 2)
    # What the first start had used is in the ledger as well.
    assert float(after.cost_usd) == 0.25
    assert slots_taken() == {"agent": 1, "global": 1, "project": 1}
    assert is_alive(neighbour.pid)


def test_a_run_of_another_installation_with_the_same_number_is_left_alone(hive: Hive) -> None:
    task = hive.long_task()
    hive.site.start()
    (run,) = hive.begun(task)
    assert run.pid is not None
    mark = psutil.Process(run.pid).environ()["BBB_RUN"]
    theirs = mark.replace(str(hive.site.home), "/somewhere/else")
    assert theirs != mark
    stranger = subprocess.Popen(["sleep", "600"], env={"PATH": os.environ["PATH"], "BBB_RUN": theirs})
    try:
        hive.open_gate()
        hive.finished(task)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_killed_scheduler_and_runner_are_recovered_together(hive: Hive) -> None:
    task, hanging = hive.long_task(), hive.hanging_task()
    first = hive.site.start()
    before, left = hive.begun(task, hanging)
    first.kill()
    kill(before, left)
    strays = hive.site.processes("sleep")
    assert strays
    hive.site.start()
    after = hive.finished(task, hanging)
    assert [(run.pk, run.epoch) for run in after] == [(before.pk, 2), (left.pk, 2)]
    assert [moves(run) for run in after] == [TWICE_STARTED, TWICE_STARTED]
    assert not [process for process in strays if is_alive(process.pid)]
    assert spent() == (0.5, 4)
    assert slots_taken() == {}


def test_two_schedulers_share_the_work_and_nothing_runs_twice(hive: Hive) -> None:
    # Neither can do it alone, and both see all tasks at the same moment.
    given = {"BBB_MAX_PARALLEL_RUNS": "3", "BBB_POLL_S": "0.01"}
    schedulers = [hive.site.start("--max-runs", "6", **given) for _ in range(2)]
    hive.site.until(lambda: len(hive.site.log("scheduler_started")) == 2, "both are there")
    with unit_of_work():
        tasks = [hive.task("sleep 0.1", "write done.txt", "cost 0.25") for _ in range(12)]
    assert [scheduler.wait() for scheduler in schedulers] == [0, 0]
    assert set(statuses(*tasks)) == {"review"}
    assert sorted(run.task_id for run in TaskRun.objects.all()) == [task.pk for task in tasks]
    assert [moves(run) for run in TaskRun.objects.all()] == [ONCE_THROUGH] * 12
    assert [len(scheduler.log("run_started")) for scheduler in schedulers] == [6, 6]
    assert spent() == (3.0, 12)
    # The first to claim takes all there is room for, so the cap was reached, and never passed.
    assert most_at_once() == 3
    assert slots_taken() == {}
    assert InboxItem.objects.count() == 12


def most_at_once() -> int:
    """Return how many runs held a slot at the same time, in the order of the events."""
    held: set[int | None] = set()
    most = 0
    for event in run_moves():
        if event.payload["after"] in {"queued", "running"}:
            held.add(event.run_id)
        else:
            held.discard(event.run_id)
        most = max(most, len(held))
    return most


def stop_twice(scheduler: Scheduler, at: Site) -> None:
    scheduler.process.terminate()
    at.until(lambda: scheduler.log("scheduler_draining"), "the scheduler drains")
    scheduler.process.terminate()


def stop_once(scheduler: Scheduler, at: Site) -> None:
    scheduler.process.terminate()


@pytest.mark.parametrize(("options", "stop"), [([], stop_twice), (["--stop-agents"], stop_once)])
def test_agents_stop_with_the_scheduler_when_that_is_wanted(hive: Hive, options: list[str], stop: Any) -> None:
    task = hive.hanging_task()
    scheduler = hive.site.start(*options)
    (before,) = hive.begun(task)
    stop(scheduler, hive.site)
    assert scheduler.wait() == 0
    assert hive.site.processes() == []
    after = TaskRun.objects.get(task=task)
    assert moves(after) == ["queued", "running", "interrupted", "queued"]
    assert (after.status, after.owner, after.session_id) == (RunStatus.QUEUED, "", before.session_id)
    assert spent() == (0.25, 1)
    assert slots_taken() == {}


def register_elsewhere() -> None:
    """Enter a scheduler of another host that lives."""
    now = timezone.now()
    SchedulerInstance.objects.create(
        id="elsewhere", host_id="another-host", boot_id="b", pid=1, pid_start_ticks=1, started_at=now, heartbeat_at=now
    )


@pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite alone serves one host")
def test_a_scheduler_of_a_second_host_is_refused_on_sqlite(hive: Hive) -> None:
    register_elsewhere()
    task = hive.task()
    scheduler = hive.site.start("--once")
    assert scheduler.wait() == 2
    (line,) = scheduler.stderr.read_text().splitlines()
    assert "PostgreSQL" in line
    assert statuses(task) == ["todo"]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite alone serves one host")
def test_a_scheduler_of_a_second_host_joins_on_postgresql(hive: Hive) -> None:
    register_elsewhere()
    task = hive.task()
    hive.site.run_once()
    assert statuses(task) == ["review"]


def test_a_scheduler_without_work_sleeps(hive: Hive, settings: Any) -> None:
    """What waits for a person, or is paused while its retry is due, keeps no processor busy."""
    settings.RETRY_BASE_S = 0
    finish_run(running(make_task(hive.project), hive.agent), ending("blocked"))
    paused = make_task(hive.project)
    finish_run(running(paused, hive.agent), ending("failed", code="overloaded"))
    paused.refresh_from_db()
    pause_task(paused, actor=ACTOR)
    scheduler = hive.site.start(BBB_LEASE_S="1.5", BBB_POLL_S="0.25")
    share_of_a_core(hive.site, scheduler, beats=2)
    assert share_of_a_core(hive.site, scheduler, beats=5) < 0.25
    assert TaskRun.objects.filter(status=RunStatus.RETRY_SCHEDULED, next_retry_at__lt=timezone.now()).exists()


def share_of_a_core(at: Site, scheduler: Scheduler, *, beats: int) -> float:
    """Return how much of a core a scheduler used while it showed so many times that it lives, twice a second."""
    process = psutil.Process(scheduler.process.pid)
    began, before = time.monotonic(), process.cpu_times()
    for _ in range(beats):
        at.until(partial(is_seen_again, scheduler, heartbeat(scheduler)), "it shows that it lives")
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    return used / (time.monotonic() - began)


def is_seen_again(scheduler: Scheduler, last: datetime | None) -> bool:
    return heartbeat(scheduler) not in (None, last)


def heartbeat(scheduler: Scheduler) -> datetime | None:
    found = SchedulerInstance.objects.filter(pid=scheduler.process.pid).first()
    return found.heartbeat_at if found else None


def test_every_log_line_about_a_run_says_whose_it_is(hive: Hive) -> None:
    Project.objects.update(auto_approve=True)
    retried = hive.task("write a.txt", "fail overloaded")
    killed, adopted = hive.long_task(), hive.long_task()
    first = hive.site.start()
    dying, _ = hive.begun(killed, adopted)
    first.kill()
    kill(dying)
    second = hive.site.start()
    hive.site.until(lambda: second.log("run_adopted"), "a run is adopted")
    hive.open_gate()
    hive.site.until(lambda: set(statuses(retried, killed, adopted)) == {"done"}, "all has landed")
    assert second.stop() == 0
    runs = list(TaskRun.objects.all())
    known = [ids_of(run) for run in runs]
    lines = [line for line in hive.site.log() if not line["event"].startswith(("scheduler_", "database_"))]
    assert {line["event"] for line in lines} >= {"run_started", "run_adopted", "run_finished", "landed"}
    assert [line for line in lines if ids_in(line) not in known] == []
    for run in runs:
        said = [line for epoch in range(1, run.epoch + 1) for line in runner_log(run, epoch)]
        assert [line["event"] for line in said].count("runner_started") == run.epoch
        assert [line for line in said if ids_in(line) != ids_of(run)] == []


def ids_of(run: TaskRun) -> list[Any]:
    return [run.pk, run.task_id, run.agent_id, run.trace_id]


def ids_in(line: dict[str, Any]) -> list[Any]:
    return [line.get(name) for name in ("run_id", "task_id", "agent_id", "trace_id")]


def runner_log(run: TaskRun, epoch: int) -> list[dict[str, Any]]:
    """Return the log of the process that a start of a run was."""
    return [json.loads(line) for line in (directory(run, epoch).path / "stderr").read_text().splitlines()]
