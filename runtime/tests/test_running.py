from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from inbox.models import InboxItem
from orchestration.exceptions import Archived, CrossProject, InvalidTransition, VersionConflict
from orchestration.models import Agent, Project, Task
from orchestration.services.agents import update_agent
from orchestration.services.projects import update_project
from orchestration.services.tasks import update_task
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_project, make_task, set_status
from runtime.exceptions import AgentPaused, DependenciesUnmet, NoAgent
from runtime.models import TaskRun
from runtime.services import commands
from runtime.services.finishing import finish_run
from runtime.services.running import run_task
from runtime.states import RunStatus
from runtime.tests.factories import claim_all, ending, running
from runtime.tests.replay import disagreements

pytestmark = pytest.mark.django_db


@pytest.fixture
def task(project: Project, agent: Agent) -> Task:
    return make_task(project)


def test_a_run_is_queued_for_any_scheduler_and_the_task_is_running(task: Task, agent: Agent) -> None:
    assert run_task(task, actor=ACTOR).status == TaskStatus.RUNNING
    run = TaskRun.objects.unowned().get()
    assert (run.status, run.attempt, run.epoch, run.agent) == (RunStatus.QUEUED, 1, 0, agent)
    assert disagreements() == []


def test_it_starts_before_everything_else_that_waits_in_its_first_epoch(project: Project, task: Task) -> None:
    make_task(project, priority=0)
    run_task(task, actor=ACTOR)
    [run] = claim_all()
    assert (run.task_id, run.epoch) == (task.pk, 1)


def test_no_hold_keeps_an_attempt_that_waits_to_be_retried(task: Task, agent: Agent) -> None:
    finish_run(running(task, agent), ending("failed", code="overloaded"))
    commands.pause_task(Task.objects.get(), actor=ACTOR)
    assert not run_task(Task.objects.get(), actor=ACTOR).is_held
    assert [run.task_id for run in claim_all()] == [task.pk]


def test_neither_a_hold_nor_a_date_keeps_it(task: Task) -> None:
    update_task(task, actor=ACTOR, not_before=timezone.now() + timedelta(days=1))
    commands.pause_task(task, actor=ACTOR)
    ran = run_task(task, actor=ACTOR)
    assert (ran.is_held, ran.not_before) == (False, None)
    assert [run.task_id for run in claim_all()] == [task.pk]


def test_what_runs_or_waits_for_a_review_is_not_run_again(task: Task, agent: Agent) -> None:
    run = running(task, agent)
    with pytest.raises(InvalidTransition):
        run_task(task, actor=ACTOR)
    finish_run(run, ending("finished"))
    with pytest.raises(InvalidTransition):
        run_task(task, actor=ACTOR)
    assert TaskRun.objects.count() == 1


def test_what_is_done_is_not_run_again(task: Task) -> None:
    with pytest.raises(InvalidTransition):
        run_task(set_status(task, TaskStatus.DONE), actor=ACTOR)


def test_what_has_failed_goes_on_in_its_session(task: Task, agent: Agent) -> None:
    finish_run(running(task, agent), ending("failed", code="auth"))
    run_task(task, actor=ACTOR)
    run = TaskRun.objects.get(attempt=2)
    assert (run.session_id, run.retry_of) == ("session-1", None)
    assert not InboxItem.objects.open().exists()


def test_what_is_blocked_gives_up_the_run_that_waited(task: Task, agent: Agent) -> None:
    finish_run(running(task, agent), ending("blocked"))
    run_task(task, actor=ACTOR)
    assert TaskRun.objects.get(attempt=1).status == RunStatus.CANCELLED
    assert TaskRun.objects.get(attempt=2).status == RunStatus.QUEUED
    assert disagreements() == []


def test_unmet_dependencies_are_named_and_nothing_is_changed(project: Project, task: Task) -> None:
    parents = [make_task(project), make_task(project)]
    child = make_task(project, depends_on=parents)
    set_status(child, TaskStatus.FAILED)
    with pytest.raises(DependenciesUnmet) as refusal:
        run_task(child, actor=ACTOR)
    assert refusal.value.data == {"unmet": [parent.pk for parent in parents], "status": "failed"}
    assert Task.objects.get(pk=child.pk).status == TaskStatus.FAILED


def test_the_agent_given_comes_before_the_assignee_and_that_before_the_least_busy(
    project: Project, agent: Agent
) -> None:
    assignee, given = make_agent(project), make_agent(project)
    for chosen in (None, given):
        run_task(make_task(project, assignee=assignee), actor=ACTOR, agent=chosen)
    run_task(make_task(project), actor=ACTOR)
    assert [run.agent for run in TaskRun.objects.order_by("id")] == [assignee, given, agent]


def test_runs_are_spread_over_the_agents_though_none_has_started(project: Project, agent: Agent) -> None:
    other = make_agent(project, max_parallel_runs=2)
    for _ in range(3):
        run_task(make_task(project), actor=ACTOR)
    assert [run.agent for run in TaskRun.objects.order_by("id")] == [other, agent, other]


def test_without_an_active_agent_nobody_runs_it(task: Task, agent: Agent) -> None:
    update_agent(agent, actor=ACTOR, status="paused")
    with pytest.raises(NoAgent):
        run_task(task, actor=ACTOR)


def test_a_paused_agent_that_is_meant_is_named_and_not_replaced(project: Project, agent: Agent) -> None:
    paused = make_agent(project, status="paused")
    with pytest.raises(AgentPaused, match=paused.name):
        run_task(make_task(project, assignee=paused), actor=ACTOR)


def test_an_agent_of_another_project_is_refused(task: Task, tmp_path: Path) -> None:
    stranger = make_agent(make_project(tmp_path / "other"))
    with pytest.raises(CrossProject):
        run_task(task, actor=ACTOR, agent=stranger)


def test_a_task_of_an_archived_project_would_wait_for_ever(project: Project, task: Task) -> None:
    update_project(project, actor=ACTOR, is_archived=True)
    with pytest.raises(Archived):
        run_task(task, actor=ACTOR)


def test_another_version_than_expected_is_a_conflict(task: Task) -> None:
    with pytest.raises(VersionConflict):
        run_task(task, actor=ACTOR, expected_version=2)


def test_the_same_key_finds_the_task_as_it_is(task: Task, agent: Agent) -> None:
    version = task.version
    first = run_task(task, actor=ACTOR, idempotency_key="key", expected_version=version)
    again = run_task(Task.objects.get(), actor=ACTOR, idempotency_key="key", expected_version=version)
    assert again.version == first.version
    assert TaskRun.objects.count() == 1


def test_the_same_key_does_not_run_it_again_when_its_run_has_ended(task: Task, agent: Agent) -> None:
    run_task(task, actor=ACTOR, idempotency_key="key")
    commands.cancel_task(task, actor=ACTOR)
    assert run_task(task, actor=ACTOR, idempotency_key="key").status == TaskStatus.CANCELLED
    assert run_task(task, actor=ACTOR, idempotency_key="another").status == TaskStatus.RUNNING


def test_tasks_do_not_share_keys(project: Project, task: Task) -> None:
    for each in (task, make_task(project)):
        run_task(each, actor=ACTOR, idempotency_key="key")
    assert TaskRun.objects.count() == 2


def test_the_longest_key_fits_its_column(task: Task) -> None:
    for _ in range(2):
        run_task(task, actor=ACTOR, idempotency_key="k" * 255)
    assert len(TaskRun.objects.get().idempotency_key) <= 255
