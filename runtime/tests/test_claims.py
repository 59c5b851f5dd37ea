from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.utils import timezone

from llm.services import record_usage
from orchestration.models import Agent, Project, Task
from orchestration.scheduler import plan
from orchestration.services.agents import update_agent
from orchestration.services.projects import update_project
from orchestration.states import AgentStatus, TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_project, make_task
from runtime import planning
from runtime.models import Slot, TaskRun
from runtime.states import RunStatus
from runtime.tests.factories import OWNER, claim_all
from runtime.tests.halves import claim

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=10)


def test_a_claim_makes_a_queued_run_with_owner_and_lease(project: Project, agent: Agent) -> None:
    task = make_task(project)
    [run] = claim_all()
    task.refresh_from_db()
    assert (run.task_id, run.status, run.owner, run.epoch, run.attempt) == (task.pk, RunStatus.QUEUED, OWNER, 1, 1)
    assert run.lease_until is not None
    assert task.status == TaskStatus.RUNNING


def test_a_task_is_claimed_once(project: Project, agent: Agent) -> None:
    make_task(project)
    claim_all()
    assert claim_all("scheduler-two") == []


def test_what_runs_counts_against_the_cap_of_reviews(project: Project, agent: Agent) -> None:
    update_project(project, actor=ACTOR, max_in_review=2)
    for _ in range(3):
        make_task(project)
    assert [len(claim_all()) for _ in range(2)] == [2, 0]


def test_the_cap_of_reviews_holds_though_another_scheduler_has_claimed_since_the_plan(
    project: Project, agent: Agent
) -> None:
    update_project(project, actor=ACTOR, max_in_review=1)
    make_task(project)
    room = planning.room()
    chosen = plan(planning.candidates(room), room).start
    make_task(project, priority=0)
    assert len(claim_all("scheduler-two")) == 1
    assert claim(chosen, owner=OWNER) == []


@pytest.mark.parametrize("stopped", ["agent", "project"])
def test_who_was_paused_since_the_plan_is_given_nothing(project: Project, agent: Agent, stopped: str) -> None:
    make_task(project)
    room = planning.room()
    chosen = plan(planning.candidates(room), room).start
    if stopped == "agent":
        update_agent(agent, actor=ACTOR, status=AgentStatus.PAUSED)
    else:
        update_project(project, actor=ACTOR, is_paused=True)
    assert len(chosen) == 1
    assert claim(chosen, owner=OWNER) == []


def test_urgent_tasks_start_first(project: Project, agent: Agent) -> None:
    update_project(project, actor=ACTOR, max_parallel_runs=1)
    make_task(project, priority=3)
    urgent = make_task(project, priority=0)
    assert [run.task_id for run in claim_all()] == [urgent.pk]


def test_nothing_starts_before_what_it_depends_on(project: Project, agent: Agent) -> None:
    parent = make_task(project)
    make_task(project, depends_on=[parent], priority=0)
    assert [run.task_id for run in claim_all()] == [parent.pk]


def test_held_and_future_tasks_wait(project: Project, agent: Agent) -> None:
    make_task(project, not_before=timezone.now() + timedelta(hours=1))
    Task.objects.filter(pk=make_task(project).pk).update(is_held=True)
    assert claim_all() == []


def test_caps_of_agent_project_and_everything_hold(project: Project, agent: Agent) -> None:
    update_project(project, actor=ACTOR, max_parallel_runs=2)
    for _ in range(5):
        make_task(project)
    assert len(claim_all()) == 2
    assert {slot.key: slot.running for slot in Slot.objects.all()} == {
        "global": 2,
        f"project:{project.pk}": 2,
        f"agent:{agent.pk}": 2,
    }


def test_a_paused_project_starts_nothing(project: Project, agent: Agent) -> None:
    make_task(project)
    update_project(project, actor=ACTOR, is_paused=True)
    assert claim_all() == []


def test_a_task_whose_agent_is_busy_does_not_block_the_others(project: Project, agent: Agent) -> None:
    busy = make_agent(project, max_parallel_runs=1)
    for _ in range(20):
        make_task(project, assignee=busy, priority=0)
    free = make_task(project, assignee=agent, priority=4)
    first = claim_all()
    assert [run.agent_id for run in first].count(busy.pk) == 1
    assert free.pk in {run.task_id for run in [*first, *claim_all()]}


def test_projects_take_turns(project: Project, agent: Agent, tmp_path: Path, settings: object) -> None:
    settings.MAX_PARALLEL_RUNS = 2  # type: ignore[attr-defined]
    other = make_project(tmp_path / "other")
    make_agent(other, max_parallel_runs=10)
    for _ in range(5):
        make_task(project, priority=0)
    make_task(other, priority=4)
    assert {run.task.project_id for run in claim_all()} == {project.pk, other.pk}


def test_a_spent_budget_holds_the_project(project: Project, agent: Agent) -> None:
    update_project(project, actor=ACTOR, daily_budget_usd=Decimal(1))
    record_usage(day=timezone.now().date(), provider="noop", model="m", project_id=project.pk, cost_usd=Decimal(1))
    make_task(project)
    assert claim_all() == []


def test_running_work_reserves_its_share_of_the_budget(project: Project, agent: Agent) -> None:
    update_project(project, actor=ACTOR, daily_budget_usd=Decimal(8))
    for _ in range(3):
        make_task(project)
    assert sorted(run.cost_cap_usd for run in claim_all() if run.cost_cap_usd) == [Decimal(3), Decimal(5)]


def test_a_second_active_run_of_a_task_is_refused_by_the_database(project: Project, agent: Agent) -> None:
    from django.db import IntegrityError

    make_task(project)
    [run] = claim_all()
    with pytest.raises(IntegrityError):
        TaskRun.objects.create(task=run.task, agent=agent, attempt=2, idempotency_key="x", trace_id="t")
