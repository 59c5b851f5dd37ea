from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from orchestration.models import Agent, Project, Task
from orchestration.services.dependencies import add_dependency
from orchestration.states import Reason, TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_task, set_status
from runtime.models import TaskRun
from runtime.services.commands import pause_task
from runtime.services.finishing import finish_run
from runtime.services.promoting import promote_due
from runtime.services.resuming import resume_run
from runtime.states import RunStatus
from runtime.tests.factories import claim_all, ending, running
from runtime.waiting import _DETAILS, explain

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, name="Maja")


def why(task: Task) -> Reason | None:
    return explain(Task.objects.get(pk=task.pk)).reason


def in_an_hour() -> datetime:
    return timezone.now() + timedelta(hours=1)


def test_each_reason_has_words() -> None:
    assert set(_DETAILS) | {Reason.DEPENDENCY, Reason.BUDGET} == set(Reason)


def test_nothing_keeps_a_task_that_starts_next(task: Task, agent: Agent) -> None:
    assert why(task) is None
    assert len(claim_all()) == 1


def test_a_task_waits_for_what_is_not_done(task: Task, agent: Agent) -> None:
    first, done = make_task(task.project), set_status(make_task(task.project), TaskStatus.DONE)
    add_dependency(task, depends_on=first, actor=ACTOR)
    add_dependency(task, depends_on=done, actor=ACTOR)
    found = explain(Task.objects.get(pk=task.pk))
    assert (found.reason, found.detail) == (Reason.DEPENDENCY, f"It waits for task {first.pk} to be done.")


def test_a_held_task_waits_to_be_resumed(task: Task, agent: Agent) -> None:
    assert why(pause_task(task, actor=ACTOR)) == Reason.HELD


def test_a_task_waits_for_its_time(task: Task, agent: Agent) -> None:
    task.not_before = in_an_hour()
    task.save()
    found = explain(task)
    assert (found.reason, found.waits_until) == (Reason.NOT_BEFORE, task.not_before)
    assert f"{task.not_before:%Y-%m-%d %H:%M:%S} UTC" in found.detail


def test_a_task_without_any_agent_says_so(task: Task) -> None:
    assert why(task) == Reason.NO_AGENT


def test_a_busy_agent_is_named(task: Task, agent: Agent) -> None:
    running(make_task(task.project, priority=0), agent)
    task.assignee = agent
    task.save()
    found = explain(task)
    assert (found.reason, found.detail) == (Reason.AGENT_BUSY, "Maja is busy.")


def test_a_paused_agent_takes_nothing(task: Task, agent: Agent) -> None:
    Agent.objects.update(status="paused")
    assert why(task) == Reason.AGENT_PAUSED


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"is_paused": True}, Reason.PROJECT_PAUSED),
        ({"is_archived": True}, Reason.PROJECT_PAUSED),
        ({"daily_budget_usd": Decimal(0)}, Reason.BUDGET),
        ({"max_parallel_runs": 0}, Reason.NO_SLOT),
    ],
)
def test_a_project_keeps_its_tasks(task: Task, agent: Agent, changes: dict[str, object], reason: Reason) -> None:
    Project.objects.update(**changes)
    assert why(task) == reason
    assert claim_all() == []


@pytest.mark.breaks_invariants
def test_a_full_review_keeps_the_others(task: Task, agent: Agent) -> None:
    set_status(make_task(task.project), TaskStatus.REVIEW)
    Project.objects.update(max_in_review=1)
    assert why(task) == Reason.REVIEW_FULL


def test_a_retry_waits_for_its_time(task: Task, agent: Agent) -> None:
    finish_run(running(task, agent), ending("failed", code="overloaded"))
    TaskRun.objects.filter(status=RunStatus.RETRY_SCHEDULED).update(next_retry_at=in_an_hour())
    found = explain(Task.objects.get(pk=task.pk))
    assert (found.status, found.reason) == (TaskStatus.RUNNING, Reason.RETRY_AT)
    assert found.waits_until == TaskRun.objects.get(status=RunStatus.RETRY_SCHEDULED).next_retry_at


def test_a_retry_that_is_due_waits_for_what_a_start_waits_for(task: Task, agent: Agent) -> None:
    finish_run(running(task, agent), ending("failed", code="overloaded"))
    TaskRun.objects.filter(status=RunStatus.RETRY_SCHEDULED).update(next_retry_at=timezone.now())
    promote_due(actor=ACTOR)
    assert why(task) is None
    Project.objects.update(is_paused=True)
    assert why(task) == Reason.PROJECT_PAUSED


def test_a_run_that_goes_on_is_not_kept_by_the_time_of_its_beginning(task: Task, agent: Agent) -> None:
    run = running(task, agent)
    finish_run(run, ending("blocked", message="?"))
    resume_run(run, prompt="Go on", actor=ACTOR, reason="resumed")
    Task.objects.update(not_before=in_an_hour())
    assert why(task) is None
    assert [claimed.pk for claimed in claim_all()] == [run.pk]


def test_a_running_task_waits_for_nothing(task: Task, agent: Agent) -> None:
    running(task, agent)
    found = explain(Task.objects.get(pk=task.pk))
    assert (found.status, found.reason, found.detail) == ("running", None, "An agent works on it.")


@pytest.mark.breaks_invariants
@pytest.mark.parametrize("status", sorted(set(TaskStatus) - {TaskStatus.TODO, TaskStatus.RUNNING}))
def test_a_task_that_does_not_wait_for_a_start_has_words_but_no_reason(task: Task, status: TaskStatus) -> None:
    found = explain(set_status(task, status))
    assert (found.status, found.reason) == (status, None)
    assert found.detail
