from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from orchestration.models import Agent, Project
from orchestration.tests.factories import make_agent, make_project, make_task
from runtime import leases
from runtime.models import TaskRun
from runtime.services.finishing import finish_run
from runtime.tests.factories import OWNER, ending
from runtime.tests.starts import begun, claimed

pytestmark = pytest.mark.django_db

OTHER = "scheduler-two"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo", max_parallel_runs=9)


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=9)


def expired(run: TaskRun) -> TaskRun:
    TaskRun.objects.filter(pk=run.pk).update(lease_until=leases.now() - timedelta(seconds=1))
    return fresh(run)


def fresh(run: TaskRun) -> TaskRun:
    return TaskRun.objects.get(pk=run.pk)


def test_time_goes_on_within_a_transaction() -> None:
    assert leases.now() < leases.now()


def test_a_lease_lasts_as_long_as_the_settings_say(settings: Settings) -> None:
    settings.LEASE_S = 7.0
    now = leases.now()
    assert leases.until(now) - now == timedelta(seconds=7)


def test_a_scheduler_renews_its_own_leases_only(project: Project, agent: Agent) -> None:
    running, waiting = begun(make_task(project), agent), claimed(make_task(project), agent)
    others = begun(make_task(project), agent, OTHER)
    for run in (running, waiting, others):
        expired(run)
    leases.renew(OWNER)
    assert set(TaskRun.objects.expired(leases.now())) == {others}


def test_one_update_renews_them_all(project: Project, agent: Agent) -> None:
    for _ in range(3):
        begun(make_task(project), agent)
    with CaptureQueriesContext(connection) as queries:
        leases.renew(OWNER)
    assert [query["sql"].split()[0] for query in queries if "taskrun" in query["sql"]] == ["UPDATE"]


def test_an_expired_run_is_taken_over(project: Project, agent: Agent) -> None:
    run = expired(begun(make_task(project), agent))
    assert leases.take_over(run, owner=OTHER)
    assert (run.owner, fresh(run).owner) == (OTHER, OTHER)
    assert not TaskRun.objects.expired(leases.now()).exists()


def test_second_of_two_takers_loses(project: Project, agent: Agent) -> None:
    first = expired(begun(make_task(project), agent))
    second = fresh(first)
    assert leases.take_over(first, owner="first")
    assert not leases.take_over(second, owner="second")
    assert fresh(first).owner == "first"


def test_a_scheduler_that_comes_back_in_time_keeps_its_run(project: Project, agent: Agent) -> None:
    run = expired(begun(make_task(project), agent))
    leases.renew(OWNER)
    assert not leases.take_over(run, owner=OTHER)
    assert fresh(run).owner == OWNER


def test_another_start_of_the_run_is_not_taken_over(project: Project, agent: Agent) -> None:
    run = expired(begun(make_task(project), agent))
    TaskRun.objects.filter(pk=run.pk).update(epoch=2)
    assert not leases.take_over(run, owner=OTHER)


def test_a_run_that_has_ended_is_not_taken_over(project: Project, agent: Agent) -> None:
    run = begun(make_task(project), agent)
    finish_run(fresh(run), ending("finished"))
    assert not leases.take_over(fresh(run), owner=OTHER)
    assert fresh(run).owner == ""
