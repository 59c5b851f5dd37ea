from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection

from events.models import Event
from events.states import EventType
from orchestration.models import Agent, Project, Task
from orchestration.tests.factories import ACTOR, make_agent, make_task
from runtime import leases
from runtime.models import TaskRun
from runtime.services import commands
from runtime.services.finishing import finish_run
from runtime.services.promoting import promote_due
from runtime.states import RunStatus
from runtime.tests.factories import ending
from runtime.tests.starts import begun

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=4)


def retry(project: Project, agent: Agent, *, due_in_s: float = -1) -> TaskRun:
    """Return the next attempt at a task whose first has failed."""
    failed = begun(make_task(project), agent)
    finish_run(failed, ending("failed", code="overloaded"))
    due = leases.now() + timedelta(seconds=due_in_s)
    TaskRun.objects.filter(retry_of=failed).update(next_retry_at=due)
    return TaskRun.objects.get(retry_of=failed)


def promote() -> int:
    return promote_due(actor="scheduler:one")


def test_a_retry_that_is_due_joins_the_queue_once(project: Project, agent: Agent) -> None:
    run = retry(project, agent)
    assert (promote(), promote()) == (1, 0)
    run.refresh_from_db()
    assert (run.status, run.owner, run.next_retry_at) == (RunStatus.QUEUED, "", None)
    assert Event.objects.filter(type=EventType.RUN_STATUS_CHANGED, run_id=run.pk, payload__after="queued").count() == 1


def test_a_retry_whose_time_has_not_come_waits(project: Project, agent: Agent) -> None:
    retry(project, agent, due_in_s=60)
    assert promote() == 0


def test_a_retry_of_a_held_task_waits_until_it_is_resumed(project: Project, agent: Agent) -> None:
    run = retry(project, agent)
    commands.pause_task(run.task, actor=ACTOR)
    assert promote() == 0
    commands.resume_task(Task.objects.get(), actor=ACTOR)
    assert promote() == 1


def test_a_cancelled_retry_is_not_promoted(project: Project, agent: Agent) -> None:
    run = retry(project, agent)
    commands.cancel_task(run.task, actor=ACTOR)
    assert promote() == 0


@pytest.mark.django_db(transaction=True)
def test_two_schedulers_promote_each_retry_once(project: Project, agent: Agent) -> None:
    for _ in range(3):
        retry(project, agent)
    ready = threading.Barrier(2, timeout=60)

    def race(_: int) -> int:
        try:
            ready.wait()
            return promote()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(race, range(2))) == 3
    assert TaskRun.objects.filter(status=RunStatus.QUEUED).count() == 3
