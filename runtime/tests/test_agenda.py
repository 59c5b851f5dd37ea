from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from inbox import services as inbox
from inbox.models import InboxItem
from llm.models import Breaker
from orchestration.models import Agent, Project, Task
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_task
from runtime import agenda
from runtime.models import StuckFinding, TaskRun
from runtime.services import commands
from runtime.services.finishing import finish_run
from runtime.states import RunStatus
from runtime.stuck.findings import Kind
from runtime.tests.factories import OWNER, ending
from runtime.tests.starts import begun

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=4)


def listed() -> set[str]:
    """Return the steps that are on the agenda."""
    return {step for step, is_on in agenda.look(OWNER)._asdict().items() if is_on}


def ended(project: Project, agent: Agent, outcome: str, code: str = "") -> TaskRun:
    run = begun(make_task(project), agent)
    return finish_run(run, ending(outcome, code=code, message="?"), head_commit="" if code else "1" * 40)


def test_nothing_is_on_it_where_only_people_can_go_on(project: Project, agent: Agent) -> None:
    make_task(project, depends_on=[make_task(project, is_held=True)])
    ended(project, agent, "finished")
    ended(project, agent, "blocked")
    ended(project, agent, "failed", "auth")
    held = ended(project, agent, "failed", "overloaded")
    commands.pause_task(Task.objects.get(pk=held.task_id), actor=ACTOR)
    assert listed() == set()
    assert not agenda.look(OWNER).is_timed


def test_a_run_at_work_is_not_on_it(project: Project, agent: Agent) -> None:
    begun(make_task(project), agent)
    assert listed() == set()


def test_a_retry_is_promoted_now_or_later(project: Project, agent: Agent) -> None:
    ended(project, agent, "failed", "overloaded")
    TaskRun.objects.filter(attempt=2).update(next_retry_at=timezone.now() + timedelta(days=1))
    assert listed() == {"promote"}
    assert agenda.look(OWNER).is_timed


def test_a_breaker_that_is_tried_may_be_closed(project: Project, agent: Agent) -> None:
    run = begun(make_task(project), agent)
    now = timezone.now()
    given = {"provider": "noop", "fingerprint": "x", "opened_at": now, "reset_at": now}
    Breaker.objects.create(**given, trial_run_id=run.pk, trial_at=now)
    assert listed() == {"promote"}


def test_an_answer_is_delivered(project: Project, agent: Agent) -> None:
    ended(project, agent, "blocked")
    inbox.close_item(InboxItem.objects.get(), actor=ACTOR, user_input="!")
    assert listed() == {"deliver"}


def test_a_nudge_is_delivered_by_the_scheduler_of_its_run(project: Project, agent: Agent) -> None:
    run = begun(make_task(project), agent)
    StuckFinding.objects.create(run=run, kind=Kind.IDLE, epoch=run.epoch, seq=0, found_at=timezone.now())
    assert listed() == {"deliver"}
    assert not agenda.look("scheduler-two").deliver


def test_approved_work_lands(project: Project, agent: Agent) -> None:
    ended(project, agent, "finished")
    inbox.approve_task(Task.objects.get(status=TaskStatus.REVIEW), actor=ACTOR)
    assert listed() == {"land"}


def test_a_task_that_is_ready_is_dispatched_now_or_later(project: Project, agent: Agent) -> None:
    make_task(project, not_before=timezone.now() + timedelta(days=1))
    assert listed() == {"dispatch"}
    assert agenda.look(OWNER).is_timed


def test_a_run_that_waits_in_the_queue_is_dispatched(project: Project, agent: Agent) -> None:
    ended(project, agent, "interrupted")
    assert TaskRun.objects.get().status == RunStatus.QUEUED
    assert listed() == {"dispatch"}


def test_it_is_one_question(project: Project, agent: Agent) -> None:
    make_task(project)
    with CaptureQueriesContext(connection) as queries:
        agenda.look(OWNER)
    assert len(queries) == 1


def test_it_is_answered_from_indexes_however_many_tasks_there_are(project: Project) -> None:
    Task.objects.bulk_create(Task(project=project, title="x", status=TaskStatus.DONE) for _ in range(2000))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE orchestration_task")
        question, values = agenda._question(OWNER)
        prefix = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
        cursor.execute(f"{prefix} {question}", values)
        plan = "\n".join(str(line[-1]) for line in cursor.fetchall())
    whole = re.compile(r"SCAN orchestration_task\b(?! USING)|Seq Scan on orchestration_task\b")
    assert not whole.search(plan), plan
