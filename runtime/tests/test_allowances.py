from __future__ import annotations

import threading
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from inbox.models import InboxItem
from inbox.services import ask
from inbox.states import ItemType
from orchestration.exceptions import Invalid
from orchestration.models import Agent, Project, Task
from orchestration.services.agents import update_agent
from orchestration.services.projects import update_project
from orchestration.services.tasks import update_task
from orchestration.states import Reason, TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_project, make_task
from runtime import planning
from runtime.allowances import Day, least, spent
from runtime.models import DayUse, TaskRun
from runtime.rundir import Usage
from runtime.services.commands import cancel_task, retry_task
from runtime.services.finishing import ask_key, finish_run
from runtime.services.resuming import resume_run
from runtime.states import RunStatus
from runtime.tests.factories import claim_all, ending, running
from runtime.waiting import explain

pytestmark = pytest.mark.django_db

# Two turns, 120 tokens, 90 s, one cent: what a run of these tests uses.
USED = Usage(token_in=100, token_out=15, token_cache_write=5, token_cache_read=900, cost_usd=0.01, turns=2, worked_s=90)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo", max_parallel_runs=50)


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=50, max_cost_usd=0)


def use(project: Project, agent: Agent, outcome: str = "finished", **fields: Any) -> TaskRun:
    """Run a task to its end."""
    run = running(make_task(project, **fields), agent)
    return finish_run(run, ending(outcome, usage=USED))


def why(task: Task) -> Reason | None:
    return explain(Task.objects.get(pk=task.pk)).reason


def test_of_each_unit_the_least_holds() -> None:
    one = {"turns": Decimal(3), "usd": Decimal(1)}
    assert least(one, {"turns": Decimal(2)}, {}) == {"turns": Decimal(2), "usd": Decimal(1)}


@pytest.mark.parametrize(
    ("left", "unit"),
    [
        ({}, ""),
        ({"usd": "0.001"}, ""),
        ({"usd": "0"}, "usd"),
        ({"tokens": "0.5"}, "tokens"),
        ({"minutes": "-1"}, "minutes"),
    ],
)
def test_what_is_spent_is_named(left: dict[str, str], unit: str) -> None:
    assert spent({name: Decimal(amount) for name, amount in left.items()}) == unit


def test_what_a_run_used_counts_for_its_project_its_agent_and_all(project: Project, agent: Agent) -> None:
    use(project, agent)
    use(project, agent)
    found = {row.key: row.amounts() for row in DayUse.objects.all()}
    assert set(found) == {"global", f"project:{project.pk}", f"agent:{agent.pk}"}
    for amounts in found.values():
        assert amounts == {"runs": 2, "turns": 4, "tokens": 240, "minutes": 3, "usd": Decimal("0.02")}


@pytest.mark.parametrize(
    ("limits", "left"),
    [({"runs": 3}, 2), ({"turns": 10}, 8), ({"tokens": 1000}, 880), ({"minutes": 2.0}, Decimal("0.5"))],
)
def test_the_day_of_a_project_has_what_its_limit_leaves(
    project: Project, agent: Agent, limits: dict[str, Any], left: object
) -> None:
    update_project(project, actor=ACTOR, daily_limits=limits)
    use(project, agent)
    assert list(Day().left(project).values()) == [left]


@pytest.mark.parametrize(
    "limits",
    [{"runs": 1}, {"turns": 2}, {"tokens": 120}, {"minutes": 1.5}, {"usd": 0.01}],
    ids=lambda it: next(iter(it)),
)
def test_a_spent_day_holds_an_agent_and_not_its_colleague(
    project: Project, agent: Agent, limits: dict[str, Any]
) -> None:
    update_agent(agent, actor=ACTOR, daily_limits=limits)
    use(project, agent)
    held = make_task(project, assignee=agent)
    colleague = make_agent(project)
    free = make_task(project, assignee=colleague)
    assert why(held) == Reason.BUDGET
    assert [run.task_id for run in claim_all()] == [free.pk]


@pytest.mark.parametrize("limits", [{"runs": 1}, {"turns": 2}, {"tokens": 120}, {"minutes": 1.5}])
def test_a_spent_day_holds_a_project(project: Project, agent: Agent, limits: dict[str, Any]) -> None:
    update_project(project, actor=ACTOR, daily_limits=limits)
    use(project, agent)
    task = make_task(project)
    assert (why(task), claim_all()) == (Reason.BUDGET, [])


def test_all_projects_share_a_budget_for_the_day(project: Project, agent: Agent, settings: Settings) -> None:
    settings.DAILY_BUDGET_USD = 0.01
    use(project, agent)
    task = make_task(project)
    assert (why(task), claim_all()) == (Reason.BUDGET, [])
    assert "all projects" in explain(task).detail


def test_yesterday_is_over(project: Project, agent: Agent) -> None:
    update_project(project, actor=ACTOR, daily_limits={"runs": 1})
    use(project, agent)
    DayUse.objects.update(day=timezone.now().date() - timedelta(days=1))
    make_task(project)
    assert len(claim_all()) == 1


def test_running_work_has_reserved_what_it_may_use(project: Project, agent: Agent) -> None:
    update_project(project, actor=ACTOR, daily_limits={"tokens": 1000, "runs": 5})
    update_agent(agent, actor=ACTOR, max_tokens=600)
    for _ in range(3):
        make_task(project)
    assert sorted(run.token_cap or 0 for run in claim_all()) == [400, 600]
    assert Day().left(project) == {"tokens": 0, "runs": 3}


def test_what_was_reserved_and_not_used_is_there_again(project: Project, agent: Agent) -> None:
    update_project(project, actor=ACTOR, daily_limits={"tokens": 1000})
    use(project, agent)
    assert Day().left(project) == {"tokens": 880}


def test_a_start_may_use_the_least_of_what_agent_task_and_day_leave(project: Project, agent: Agent) -> None:
    update_agent(agent, actor=ACTOR, max_turns=50, max_tokens=900, daily_limits={"minutes": 30.0})
    update_project(project, actor=ACTOR, daily_budget_usd=Decimal(2))
    make_task(project, limits={"turns": 9, "usd": 3})
    [run] = claim_all()
    assert (run.turn_cap, run.token_cap, run.time_cap_s, run.cost_cap_usd) == (9, 900, 1800.0, Decimal(2))


def test_the_limits_of_a_task_hold_over_all_its_runs(project: Project, agent: Agent) -> None:
    failed = use(project, agent, "failed", limits={"tokens": 300, "turns": 10})
    retry_task(failed.task, actor=ACTOR)
    [run] = claim_all()
    assert (run.token_cap, run.turn_cap) == (180, 8)


def test_a_task_whose_limit_is_used_up_is_not_tried_again(project: Project, agent: Agent) -> None:
    run = running(make_task(project, limits={"tokens": 120}), agent)
    finish_run(run, ending("failed", code="overloaded", usage=USED))
    assert TaskRun.objects.get().error_code == "task_limit"
    assert Task.objects.get().status == TaskStatus.FAILED
    assert InboxItem.objects.get().title.startswith("Stopped at a limit")


def test_a_task_whose_limit_is_used_up_is_not_continued_after_a_crash(project: Project, agent: Agent) -> None:
    run = running(make_task(project, limits={"turns": 2}), agent)
    finish_run(run, ending("interrupted", code="process_gone", usage=USED))
    assert Task.objects.get().status == TaskStatus.FAILED


def test_a_question_outlives_a_crash_though_the_limit_is_used_up(project: Project, agent: Agent) -> None:
    run = running(make_task(project, limits={"turns": 2}), agent)
    question: dict[str, Any] = {"title": "Which?", "dedupe_key": ask_key(run, "1"), "run_id": run.pk}
    ask(ItemType.AWAIT_USER_INPUT, task=run.task, actor="agent:1", **question)
    finish_run(run, ending("interrupted", code="process_gone", usage=USED))
    assert Task.objects.get().status == TaskStatus.BLOCKED


def test_a_cancel_is_honoured_though_the_limit_is_used_up(project: Project, agent: Agent) -> None:
    run = running(make_task(project, limits={"turns": 2}), agent)
    cancel_task(run.task, actor=ACTOR)
    finish_run(run, ending("failed", code="overloaded", usage=USED))
    assert Task.objects.get().status == TaskStatus.CANCELLED


def test_a_higher_limit_lets_an_answered_task_go_on(project: Project, agent: Agent) -> None:
    run = running(make_task(project, limits={"turns": 2}), agent)
    finish_run(run, ending("blocked", usage=USED))
    resume_run(run, prompt="Use the other one.", actor=ACTOR, reason="answered")
    assert (why(run.task), claim_all()) == (Reason.BUDGET, [])
    update_task(Task.objects.get(), actor=ACTOR, limits={"turns": 3})
    assert [claimed.turn_cap for claimed in claim_all()] == [1]


def test_a_cap_that_is_reached_keeps_the_commit_and_says_how_to_go_on(project: Project, agent: Agent) -> None:
    run = running(make_task(project), agent)
    finish_run(run, ending("failed", code="max_tokens", message="It used 120 tokens of 100."), head_commit="abc")
    assert (run.status, run.head_commit) == (RunStatus.FAILED, "abc")
    assert "Raise the limit and retry" in InboxItem.objects.get().content


@pytest.mark.parametrize("limits", [{"turns": 0}, {"beer": 1}, {"tokens": True}, {"usd": 1.0}, [], {"minutes": "9"}])
def test_daily_limits_that_are_none_are_refused(project: Project, limits: Any) -> None:
    with pytest.raises(Invalid, match="daily_limits"):
        update_project(project, actor=ACTOR, daily_limits=limits)


@pytest.mark.django_db(transaction=True)
def test_eight_schedulers_at_once_do_not_reserve_more_than_the_day_has(project: Project, agent: Agent) -> None:
    update_project(project, actor=ACTOR, daily_limits={"tokens": 1000, "turns": 40}, daily_budget_usd=Decimal(1))
    update_agent(agent, actor=ACTOR, max_tokens=150, max_turns=9, daily_limits={"runs": 5})
    for _ in range(16):
        make_task(project)
    start = threading.Barrier(8)

    def schedule(owner: str) -> None:
        try:
            start.wait()
            claim_all(owner)
        finally:
            connection.close()

    threads = [threading.Thread(target=schedule, args=(f"scheduler-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runs = list(TaskRun.objects.all())
    assert 0 < len(runs) <= 5
    assert sum(run.token_cap or 0 for run in runs) <= 1000
    assert sum(run.turn_cap or 0 for run in runs) <= 40
    assert sum(run.cost_cap_usd or 0 for run in runs) <= 1


def test_the_limits_of_many_tasks_are_looked_up_in_one_query(project: Project, agent: Agent) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            planning.candidates(planning.room())
        return len(queries)

    make_task(project, limits={"turns": 5})
    of_one = asked()
    for _ in range(5):
        make_task(project, limits={"turns": 5})
    assert asked() == of_one
