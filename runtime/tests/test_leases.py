from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from orchestration.models import Agent, Project
from orchestration.tests.factories import make_agent, make_project, make_task
from orchestration.tests.races import meanwhile, result
from runtime import leases
from runtime.models import Duty, TaskRun
from runtime.services.finishing import finish_run
from runtime.tests.factories import OWNER, ending, late_runs
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
    assert set(late_runs()) == {others}


def test_one_update_renews_them_all(project: Project, agent: Agent) -> None:
    for _ in range(3):
        begun(make_task(project), agent)
    with CaptureQueriesContext(connection) as queries:
        leases.renew(OWNER)
    assert [query["sql"].split()[0] for query in queries if "taskrun" in query["sql"]] == ["UPDATE"]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no locks of rows")
@pytest.mark.django_db(transaction=True)
def test_a_run_that_somebody_writes_to_keeps_no_other_from_being_renewed(project: Project, agent: Agent) -> None:
    _, second, _ = [expired(begun(make_task(project), agent)) for _ in range(3)]
    with transaction.atomic():
        TaskRun.objects.filter(pk=second.pk).update(log_seq=1)
        renewal = meanwhile(lambda: leases.renew(OWNER))
        assert renewal.done()
    assert late_runs() == [second]
    leases.renew(OWNER)
    assert late_runs() == []


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no locks of rows")
@pytest.mark.django_db(transaction=True)
def test_who_leaves_waits_for_the_rows_in_their_order_and_so_for_nobody_who_waits_for_it(
    project: Project, agent: Agent
) -> None:
    first, second = [begun(make_task(project), agent) for _ in range(2)]
    # Moved to the end of the table, where an unordered look meets it last.
    TaskRun.objects.filter(pk=first.pk).update(summary="x" * 1000)
    with transaction.atomic():
        TaskRun.objects.filter(pk=first.pk).update(log_seq=1)
        leaving = meanwhile(lambda: leases.release(OWNER))
        TaskRun.objects.filter(pk=second.pk).update(log_seq=1)
    assert result(leaving) is None
    assert len(late_runs()) == 2


def test_a_duty_is_renewed_with_the_runs(project: Project) -> None:
    past = leases.now() - timedelta(seconds=1)
    for name, owner in (("mine", OWNER), ("theirs", OTHER), ("nobodys", "")):
        Duty.objects.create(name=name, owner=owner, until=past, due_at=past)
    leases.renew(OWNER)
    assert list(Duty.objects.filter(until__gt=past).values_list("name", flat=True)) == ["mine"]


def test_an_expired_run_is_taken_over(project: Project, agent: Agent) -> None:
    run = expired(begun(make_task(project), agent))
    assert leases.take_over(run, owner=OTHER)
    assert (run.owner, fresh(run).owner) == (OTHER, OTHER)
    assert late_runs() == []


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


def test_what_a_scheduler_runs_is_found_by_index_whatever_has_ended() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")  # which is right for a table as small as this
    for rows in (TaskRun.objects.owned(OWNER), TaskRun.objects.holding_slots()):
        found = rows.order_by().explain()
        # PostgreSQL may find another index that holds few rows as good, by what it knows of the table at the time.
        assert "Seq Scan" not in found if connection.vendor == "postgresql" else "run_held" in found, found
