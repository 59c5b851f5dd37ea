"""The handshake together with the claim: one commit, so that nobody finds a run between the two."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from events.models import Event
from events.states import EventType
from orchestration.models import Agent, Project, Task
from orchestration.scheduler import Choice
from orchestration.states import TaskStatus
from orchestration.tests.factories import make_agent, make_task
from runtime.exceptions import StaleRun
from runtime.models import Slot, TaskRun
from runtime.services import handshakes
from runtime.services.handshakes import begin
from runtime.states import RunStatus
from runtime.tests.factories import OWNER

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=4)


def choice(project: Project, agent: Agent) -> Choice:
    return Choice(make_task(project).pk, agent.pk, None)


def test_what_is_begun_runs_and_its_events_say_how_it_came_to_that(project: Project, agent: Agent) -> None:
    [run] = begin([choice(project, agent)], owner=OWNER)
    stored = TaskRun.objects.get()
    assert (run.pk, run.status, stored.status, stored.owner) == (stored.pk, "running", RunStatus.RUNNING, OWNER)
    moves = Event.objects.filter(type=EventType.RUN_STATUS_CHANGED).order_by("id").values_list("payload", flat=True)
    assert [(move["before"], move["after"]) for move in moves] == [("", "queued"), ("queued", "running")]


def test_what_cannot_shake_hands_was_not_claimed(
    project: Project, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = choice(project, agent)
    monkeypatch.setattr(handshakes, "_begin", lambda *_: 0)
    with pytest.raises(StaleRun):
        begin([chosen], owner=OWNER)
    assert not TaskRun.objects.exists()
    assert Task.objects.get(pk=chosen.task_id).status == TaskStatus.TODO
    assert not Slot.objects.filter(running__gt=0).exists()


def test_what_somebody_else_was_faster_with_is_left_out(project: Project, agent: Agent) -> None:
    first, second = choice(project, agent), choice(project, agent)
    begin([first], owner="scheduler-two")
    assert [run.task_id for run in begin([first, second], owner=OWNER)] == [second.task_id]


def test_to_begin_a_run_takes_18_questions_at_most(project: Project, agent: Agent) -> None:
    begin([choice(project, agent)], owner=OWNER)  # makes the slots
    chosen = choice(project, agent)
    with CaptureQueriesContext(connection) as asked:
        begin([chosen], owner=OWNER)
    assert len([query for query in asked if not query["sql"].startswith(("SAVEPOINT", "RELEASE"))]) <= 18
