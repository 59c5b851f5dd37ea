from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from pytest_django import Settings

from orchestration.tests.factories import make_agent, make_project, make_task
from runtime import leases, processes, schedulers
from runtime.models import SchedulerInstance, TaskRun
from runtime.schedulers import SecondHost
from runtime.tests.factories import late_runs
from runtime.tests.starts import begun

pytestmark = pytest.mark.django_db

on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="about SQLite, which serves one host")
on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="about PostgreSQL, which serves many")


def elsewhere(seen_ago_s: float = 0) -> SchedulerInstance:
    """Enter a scheduler of another host, last seen so many seconds ago."""
    scheduler = schedulers.register()
    seen = leases.now() - timedelta(seconds=seen_ago_s)
    SchedulerInstance.objects.filter(pk=scheduler.pk).update(host_id="another-host", heartbeat_at=seen)
    scheduler.refresh_from_db()
    return scheduler


def test_a_scheduler_enters_its_own_process() -> None:
    entered = schedulers.register()
    assert entered.pid == os.getpid()
    assert processes.is_same_process(entered.pid, entered.pid_start_ticks, entered.boot_id)


@on_sqlite
def test_a_second_host_is_refused() -> None:
    elsewhere()
    with pytest.raises(SecondHost, match="PostgreSQL"):
        schedulers.register()
    assert SchedulerInstance.objects.count() == 1


@on_sqlite
def test_a_host_that_has_gone_silent_makes_room(settings: Settings) -> None:
    elsewhere(seen_ago_s=3 * settings.LEASE_S + 1)
    assert schedulers.register().pk


@on_postgresql
def test_a_second_host_joins() -> None:
    elsewhere()
    assert schedulers.register().pk


def test_a_second_scheduler_of_the_same_host_joins() -> None:
    assert schedulers.register().pk != schedulers.register().pk


def test_a_beat_renews_the_leases_of_its_own_runs_only(tmp_path: Path) -> None:
    project = make_project(tmp_path / "repo")
    agent = make_agent(project, max_parallel_runs=2)
    mine, yours = schedulers.register(), schedulers.register()
    runs = [begun(make_task(project), agent, scheduler.pk) for scheduler in (mine, yours)]
    past = leases.now() - timedelta(seconds=1)
    TaskRun.objects.update(lease_until=past)
    SchedulerInstance.objects.update(heartbeat_at=past)
    schedulers.beat(mine, is_draining=False)
    assert late_runs() == [runs[1]]
    assert list(SchedulerInstance.objects.filter(heartbeat_at=past)) == [yours]


def test_a_beat_tells_that_the_scheduler_drains() -> None:
    scheduler = schedulers.register()
    schedulers.beat(scheduler, is_draining=True)
    assert SchedulerInstance.objects.get().is_draining


def test_a_scheduler_that_was_taken_off_the_list_by_mistake_comes_back() -> None:
    scheduler = schedulers.register()
    SchedulerInstance.objects.all().delete()
    schedulers.beat(scheduler, is_draining=False)
    assert SchedulerInstance.objects.get() == scheduler


def test_who_leaves_takes_itself_and_the_long_dead_off_the_list() -> None:
    scheduler, other, dead = schedulers.register(), schedulers.register(), schedulers.register()
    SchedulerInstance.objects.filter(pk=dead.pk).update(heartbeat_at=leases.now() - timedelta(days=8))
    schedulers.leave(scheduler)
    assert list(SchedulerInstance.objects.all()) == [other]


def test_what_a_scheduler_leaves_behind_is_anybodys_at_once(tmp_path: Path) -> None:
    project = make_project(tmp_path / "repo")
    agent = make_agent(project, max_parallel_runs=2)
    leaving, staying = schedulers.register(), schedulers.register()
    left, _ = [begun(make_task(project), agent, scheduler.pk) for scheduler in (leaving, staying)]
    schedulers.leave(leaving)
    assert late_runs() == [left]


def test_a_scheduler_is_seen_for_three_leases(settings: Settings) -> None:
    assert not schedulers.seen_lately()
    scheduler = schedulers.register()
    assert schedulers.seen_lately()
    long_ago = leases.now() - timedelta(seconds=3 * settings.LEASE_S + 1)
    SchedulerInstance.objects.filter(pk=scheduler.pk).update(heartbeat_at=long_ago)
    assert not schedulers.seen_lately()


def test_a_scheduler_that_finds_no_database_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("runtime.dispatcher.schedulers.register", refused)
    with pytest.raises(CommandError, match="The database does not answer: connection refused"):
        call_command("runscheduler", "--once")
