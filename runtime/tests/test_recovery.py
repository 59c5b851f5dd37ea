from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models import F
from pytest_django import Settings

from inbox.models import InboxItem
from inbox.states import ItemType
from orchestration.models import Agent, Project
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_task
from runtime import leases, processes, recovery, schedulers, supervision
from runtime.exceptions import StaleRun
from runtime.models import RunLog, SchedulerInstance, Slot, TaskRun
from runtime.processes import TAG
from runtime.rundir import FORMAT, RunDirectory, RunDirectoryExists
from runtime.services import commands
from runtime.services.finishing import finish_run
from runtime.states import RunStatus
from runtime.supervision import Watch
from runtime.tests.factories import ending
from runtime.tests.runners import CODE
from runtime.tests.starts import (
    begun,
    claimed,
    make_directory,
    make_worktree,
    say,
    start_process,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]

ME = "scheduler-two"


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=4)


@pytest.fixture
def dead() -> str:
    """Return a scheduler of this host whose process is gone."""
    scheduler = schedulers.register()
    # Its pid belongs to another process by now: this one.
    SchedulerInstance.objects.filter(pk=scheduler.pk).update(pid_start_ticks=F("pid_start_ticks") - 1)
    return scheduler.pk


@pytest.fixture
def run(project: Project, agent: Agent, dead: str) -> TaskRun:
    """Return a run that a dead scheduler had begun."""
    return begun(make_task(project), agent, dead)


@pytest.fixture
def directory(run: TaskRun, tmp_path: Path) -> RunDirectory:
    return make_directory(run, tmp_path)


def recover() -> list[Watch]:
    return recovery.adopt_abandoned(owner=ME)


def fresh(run: TaskRun) -> TaskRun:
    return TaskRun.objects.select_related("task").get(pk=run.pk)


def state(run: TaskRun) -> tuple[str, str, int, int]:
    """Return status and owner of a run, and what its start has cost: attempt and epoch."""
    found = fresh(run)
    return found.status, found.owner, found.attempt, found.epoch


def slots_in_use() -> set[int]:
    return set(Slot.objects.values_list("running", flat=True))


def expire(run: TaskRun, *, ago_s: float = 1) -> None:
    TaskRun.objects.filter(pk=run.pk).update(lease_until=leases.now() - timedelta(seconds=ago_s))


# What is there decides


def test_a_run_that_has_ended_is_finished(run: TaskRun, directory: RunDirectory) -> None:
    worktree = make_worktree(run)
    (worktree.path / "new.txt").write_text("x\n")
    say(directory, ("text", {"text": "the last words"}))
    directory.write_exit(ending("finished", message="Done."))
    assert recover() == []
    found = fresh(run)
    assert (found.status, found.task.status, found.summary) == (RunStatus.SUCCEEDED, TaskStatus.REVIEW, "Done.")
    assert found.head_commit not in ("", found.base_commit)
    assert RunLog.objects.get().body == {"text": "the last words"}
    assert slots_in_use() == {0}


def test_a_run_whose_runner_lives_is_adopted(run: TaskRun, directory: RunDirectory) -> None:
    process = start_process(directory)
    [watched] = recover()
    assert state(run) == (RunStatus.RUNNING, ME, 1, 1)
    assert (watched.run.pk, watched.run.pid) == (run.pk, process.pid)
    assert supervision.ended(watched) is None
    assert slots_in_use() == {1}
    watched.close()


def test_the_scheduler_that_lost_a_run_writes_nothing_for_it_any_more(run: TaskRun, directory: RunDirectory) -> None:
    start_process(directory)
    [watched] = recover()
    watched.close()
    say(directory, ("text", {"text": "x"}))
    with pytest.raises(StaleRun):
        supervision.follow(Watch(run=run, directory=directory))
    assert not RunLog.objects.exists()


def test_a_run_whose_runner_is_gone_is_queued_again_with_its_session(run: TaskRun, directory: RunDirectory) -> None:
    process = start_process(directory, "setsid sleep 60 & exec sleep 60")
    say(directory, ("system", {"type": "session", "session_id": "the-session"}))
    say(directory, ("system", {"type": "usage", "turns": 2, "cost_usd": 0.5}))
    process.kill()
    process.wait()
    assert recover() == []
    assert state(run) == (RunStatus.QUEUED, "", 1, 1)
    found = fresh(run)
    assert (found.session_id, found.turns, found.task.status) == ("the-session", 2, TaskStatus.RUNNING)
    assert slots_in_use() == {0}
    assert processes.tagged(directory.tag) == []


@pytest.mark.parametrize("has_directory", [True, False])
def test_a_run_that_never_started_goes_back_to_the_queue_and_has_spent_nothing(
    run: TaskRun, agent: Agent, tmp_path: Path, has_directory: bool
) -> None:
    if has_directory:
        make_directory(run, tmp_path)
    assert recover() == []
    assert state(run) == (RunStatus.QUEUED, "", 1, 1)
    assert slots_in_use() == {0}
    again = claimed(run.task, agent)
    assert (again.pk, again.attempt, again.epoch) == (run.pk, 1, 2)
    assert TaskRun.objects.count() == 1


def test_a_run_that_was_claimed_and_not_begun_is_released(project: Project, agent: Agent, dead: str) -> None:
    run = claimed(make_task(project), agent, dead)
    assert recover() == []
    assert state(run) == (RunStatus.QUEUED, "", 1, 1)
    assert fresh(run).lease_until is None
    assert slots_in_use() == {0}


def test_a_cancel_is_honoured_though_everybody_died(run: TaskRun, directory: RunDirectory) -> None:
    process = start_process(directory)
    process.kill()
    process.wait()
    commands.cancel_task(run.task, actor=ACTOR)
    recover()
    assert (fresh(run).status, fresh(run).task.status) == (RunStatus.CANCELLED, TaskStatus.CANCELLED)


@pytest.mark.parametrize("changes", [{"start_ticks": 1}, {"boot_id": "an-earlier-boot"}])
def test_a_process_that_is_not_the_runner_is_neither_adopted_nor_touched(
    run: TaskRun, directory: RunDirectory, tmp_path: Path, changes: dict[str, str | int]
) -> None:
    other = RunDirectory(tmp_path / "home/other")
    other.path.mkdir()
    stranger, start = start_process(other), other.start()
    assert start is not None
    directory.write_start(replace(start, **changes))  # type: ignore[arg-type]
    assert recover() == []
    assert state(run) == (RunStatus.QUEUED, "", 1, 1)
    assert stranger.poll() is None


# Whose runs are recovered


def test_a_run_of_a_living_scheduler_is_left_alone(project: Project, agent: Agent) -> None:
    living = schedulers.register()
    running, waiting = begun(make_task(project), agent, living.pk), claimed(make_task(project), agent, living.pk)
    assert recover() == []
    assert state(running) == (RunStatus.RUNNING, living.pk, 1, 1)
    assert state(waiting) == (RunStatus.QUEUED, living.pk, 1, 1)


def test_a_scheduler_that_stalls_beyond_its_lease_loses_its_runs(
    project: Project, agent: Agent, tmp_path: Path
) -> None:
    stalled = schedulers.register()
    run = begun(make_task(project), agent, stalled.pk)
    process = start_process(make_directory(run, tmp_path))
    expire(run)
    [watched] = recover()
    watched.close()
    assert state(run) == (RunStatus.RUNNING, ME, 1, 1)
    assert process.poll() is None


def test_own_runs_that_are_not_watched_are_recovered(project: Project, agent: Agent, tmp_path: Path) -> None:
    watched_run, started, waiting = (
        begun(make_task(project), agent, ME),
        begun(make_task(project), agent, ME),
        claimed(make_task(project), agent, ME),
    )
    start_process(make_directory(started, tmp_path))
    [found] = recovery.adopt_abandoned(owner=ME, watched=[watched_run.pk])
    found.close()
    assert found.run.pk == started.pk
    assert state(watched_run) == (RunStatus.RUNNING, ME, 1, 1)
    assert state(waiting) == (RunStatus.QUEUED, "", 1, 1)


def on_another_host(run: TaskRun) -> None:
    TaskRun.objects.filter(pk=run.pk).update(host_id="another-host")
    SchedulerInstance.objects.filter(pk=run.owner).update(host_id="another-host")


def test_a_run_of_another_host_is_kept_and_asked_about_once(run: TaskRun, settings: Settings) -> None:
    on_another_host(run)
    expire(run, ago_s=10 * settings.LEASE_S + 1)
    for _ in range(2):
        assert recover() == []
    assert state(run) == (RunStatus.RUNNING, run.owner, 1, 1)
    item = InboxItem.objects.get()
    assert (item.item_type, item.run_id) == (ItemType.ALERT, run.pk)
    assert "another-host" in item.content


def test_a_host_that_is_late_is_not_asked_about_yet(run: TaskRun, settings: Settings) -> None:
    on_another_host(run)
    expire(run, ago_s=2 * settings.LEASE_S)
    assert recover() == []
    assert state(run) == (RunStatus.RUNNING, run.owner, 1, 1)
    assert not InboxItem.objects.exists()


def test_a_cancel_does_not_wait_for_a_host_that_is_lost(run: TaskRun, settings: Settings) -> None:
    on_another_host(run)
    commands.cancel_task(run.task, actor=ACTOR)
    expire(run, ago_s=2 * settings.LEASE_S)
    assert recover() == []
    assert state(run) == (RunStatus.RUNNING, run.owner, 1, 1)
    expire(run, ago_s=10 * settings.LEASE_S + 1)
    assert recover() == []
    assert (fresh(run).status, fresh(run).task.status) == (RunStatus.CANCELLED, TaskStatus.CANCELLED)
    assert slots_in_use() == {0}
    # Its own scheduler, should it come back, is refused.
    with pytest.raises(StaleRun):
        finish_run(run, ending("finished"))


def test_a_claim_of_another_host_that_was_never_begun_is_released(project: Project, agent: Agent, dead: str) -> None:
    run = claimed(make_task(project), agent, dead)
    SchedulerInstance.objects.update(host_id="another-host")
    assert recover() == []
    assert state(run) == (RunStatus.QUEUED, dead, 1, 1)
    expire(run)
    recover()
    assert state(run) == (RunStatus.QUEUED, "", 1, 1)


# A start that was stalled


def test_a_start_that_was_given_up_cannot_be_made_after_all(run: TaskRun, tmp_path: Path) -> None:
    assert recover() == []
    assert state(run) == (RunStatus.QUEUED, "", 1, 1)
    with pytest.raises(RunDirectoryExists):
        make_directory(run, tmp_path)


def test_the_runner_of_a_start_that_was_given_up_does_nothing(run: TaskRun, tmp_path: Path) -> None:
    directory = make_directory(run, tmp_path)
    assert recover() == []
    environment = {"PATH": os.environ["PATH"], TAG: directory.tag}
    command = [sys.executable, "-m", "runtime.runner", str(directory.path)]
    subprocess.run(command, cwd=CODE, env=environment, check=True)
    record = directory.exit()
    assert record is not None and record.outcome == "cancelled"
    assert list(directory.lines()) == []
    assert state(run) == (RunStatus.QUEUED, "", 1, 1)


# A newer version beside this one


def test_a_run_that_a_newer_version_started_is_left_to_it(run: TaskRun, directory: RunDirectory) -> None:
    process = start_process(directory)
    request = json.loads((directory.path / "request.json").read_text())
    (directory.path / "request.json").write_text(json.dumps(request | {"format": FORMAT + 1}))
    expire(run)
    assert recover() == []
    assert state(run) == (RunStatus.RUNNING, run.owner, 1, 1)
    assert process.poll() is None


def test_fields_that_this_version_does_not_know_are_no_obstacle(run: TaskRun, directory: RunDirectory) -> None:
    start_process(directory)
    for name in ("request.json", "start.json"):
        known = json.loads((directory.path / name).read_text())
        (directory.path / name).write_text(json.dumps(known | {"of_tomorrow": True}))
    [watched] = recover()
    watched.close()
    usage = {"turns": 1, "of_tomorrow": True}
    (directory.path / "exit.json").write_text(json.dumps({"outcome": "interrupted", "usage": usage, "of_tomorrow": 1}))
    record = supervision.ended(watched)
    assert record is not None and record.usage.turns == 1


# One bad run


@pytest.mark.parametrize("content", ['{"outcome": "fini', '"finished"', '{"outcome": "finished", "usage": 7}'])
def test_an_exit_record_that_cannot_be_read_ends_its_run_only(
    run: TaskRun, directory: RunDirectory, project: Project, agent: Agent, tmp_path: Path, content: str
) -> None:
    (directory.path / "exit.json").write_text(content)
    following = begun(make_task(project), agent, run.owner)
    make_worktree(following)
    make_directory(following, tmp_path).write_exit(ending("finished"))
    assert recover() == []
    assert (fresh(run).status, fresh(run).error_code, fresh(run).task.status) == ("failed", "protocol", "failed")
    assert fresh(following).status == RunStatus.SUCCEEDED
    assert slots_in_use() == {0}


def test_the_exit_record_of_an_earlier_start_is_not_believed(run: TaskRun, directory: RunDirectory) -> None:
    directory.write_exit(ending("failed", code="auth"))
    TaskRun.objects.filter(pk=run.pk).update(epoch=2)
    assert recover() == []
    assert state(run) == (RunStatus.QUEUED, "", 1, 2)
