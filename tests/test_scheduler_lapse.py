"""Schedulers that stall beyond their lease, agents that do not listen, and what people want while nobody is there to do it."""

from __future__ import annotations

import os
import signal
from functools import partial

import pytest
from django.db import transaction

from events.models import Event
from events.states import EventType
from llm.models import UsageDaily
from orchestration.models import Task
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, git
from runtime.models import SchedulerInstance, TaskRun
from runtime.services.commands import cancel_task, pause_task, resume_task
from runtime.states import RunStatus
from tests.hive import ONCE_THROUGH, TWICE_STARTED, Hive, assert_log_is_whole, is_in, spent, statuses
from tests.schedulers import Scheduler, directory, is_alive, kill, moves, slots_taken

pytestmark = pytest.mark.django_db(transaction=True)

SHORT = {"BBB_LEASE_S": "4"}  # long enough for a busy machine to renew in time


def owner_of(scheduler: Scheduler) -> str:
    return str(SchedulerInstance.objects.get(pid=scheduler.process.pid).pk)


def test_a_scheduler_that_stalls_beyond_its_lease_stands_back_and_its_run_goes_on_once(hive: Hive) -> None:
    task = hive.long_task()
    stalled = hive.site.start(**SHORT)
    (before,) = hive.begun(task)
    with transaction.atomic():
        # While it is ours, it holds no lock for which the other would have to wait.
        TaskRun.objects.select_for_update().get()
        os.kill(stalled.process.pid, signal.SIGSTOP)
    other = hive.site.start(**SHORT)
    hive.site.until(lambda: other.log("run_adopted"), "the run is adopted")
    taken = TaskRun.objects.get()
    os.kill(stalled.process.pid, signal.SIGCONT)
    hive.site.until(lambda: stalled.log("leases_lapsed"), "it notices that it was away")
    hive.open_gate()
    (after,) = hive.finished(task)
    assert taken.owner == owner_of(other)
    assert (after.pk, after.epoch, after.pid) == (before.pk, 1, before.pid)
    assert moves(after) == ONCE_THROUGH
    assert spent() == (0.75, 1)
    assert_log_is_whole(after, 1)
    assert [len(scheduler.log("run_finished")) for scheduler in (stalled, other)] == [0, 1]
    assert slots_taken() == {}
    # It is back at work, and takes its share.
    assert other.stop() == 0
    hive.finished(following := hive.task())
    assert stalled.log("run_started")
    assert TaskRun.objects.get(task=following).epoch == 1


@pytest.mark.parametrize("is_runner_there", [True, False])
def test_a_cancel_is_carried_out_by_whoever_comes_next(hive: Hive, is_runner_there: bool) -> None:
    task = hive.hanging_task()
    first = hive.site.start()
    (run,) = hive.begun(task)
    first.kill()
    if not is_runner_there:
        kill(run)
    cancel_task(task, actor=ACTOR)
    assert statuses(task) == ["running"]
    hive.site.start()
    hive.site.until(partial(is_in, task, TaskStatus.CANCELLED), "it is cancelled")
    run.refresh_from_db()
    assert (run.status, moves(run)) == (RunStatus.CANCELLED, ["queued", "running", "cancelled"])
    assert spent() == (0.25, 1)
    hive.site.until(lambda: not hive.site.processes("sleep"), "nothing of it is left")
    assert slots_taken() == {}


def test_a_runner_that_does_not_listen_to_a_pause_is_killed_in_bounded_time_and_its_session_goes_on(
    hive: Hive,
) -> None:
    task = hive.long_task()
    scheduler = hive.site.start(BBB_STOP_GRACE_S="0.5")
    (before,) = hive.begun(task)
    assert before.pid is not None
    # It hears neither messages nor signals but one.
    os.kill(before.pid, signal.SIGSTOP)
    pause_task(task, actor=ACTOR)
    hive.site.until(partial(is_in, task, TaskStatus.BLOCKED), "it is paused")
    assert [line["signal"] for line in scheduler.log("run_does_not_stop")] == ["SIGTERM", "SIGKILL"]
    assert not is_alive(before.pid)
    assert len(hive.site.processes()) == 1
    paused = TaskRun.objects.get()
    assert (paused.status, paused.session_id) == (RunStatus.INTERRUPTED, before.session_id)
    hive.open_gate()
    resume_task(Task.objects.get(), actor=ACTOR)
    (after,) = hive.finished(task)
    assert (after.epoch, after.session_id, moves(after)) == (2, before.session_id, TWICE_STARTED)


def test_after_the_machine_was_started_anew_its_runs_go_on(hive: Hive) -> None:
    """What a reboot leaves: files, whose processes are gone; their pids may belong to others."""
    task = hive.long_task()
    first = hive.site.start()
    (before,) = hive.begun(task)
    first.kill()
    kill(before)
    hive.site.until(lambda: not hive.site.processes(), "all is gone")
    start = directory(before).path / "start.json"
    others_pid = f'"pid": {os.getpid()}'
    start.write_text(
        start.read_text().replace(f'"pid": {before.pid}', others_pid).replace(before.boot_id, "the-boot-before")
    )
    SchedulerInstance.objects.update(boot_id="the-boot-before")
    hive.open_gate()
    hive.site.start()
    (after,) = hive.finished(task)
    assert (after.pk, after.attempt, after.epoch, after.session_id) == (before.pk, 1, 2, before.session_id)
    assert moves(after) == TWICE_STARTED
    assert git(hive.repo, "show", f"bbb/{task.key}:begun") == "begun"
    assert UsageDaily.objects.get().run_count == 2


def test_a_grandchild_that_hides_in_a_session_of_its_own_ends_with_its_run(hive: Hive) -> None:
    task = hive.task("run setsid sleep 600 >/dev/null 2>&1 &", "write begun", "finish")
    hive.site.run_once()
    assert statuses(task) == ["review"]
    assert hive.site.processes() == []
    assert not Event.objects.filter(type=EventType.RUN_STALE_WRITE_REJECTED).exists()
