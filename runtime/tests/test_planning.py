from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from inbox import services as inbox
from llm.services import record_usage
from orchestration.models import Agent, Project, Task
from orchestration.scheduler import plan
from orchestration.services.agents import update_agent
from orchestration.services.projects import update_project
from orchestration.states import AgentStatus, Reason, TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_project, make_task, set_status
from runtime import leases, planning
from runtime.allowances import Day
from runtime.models import TaskRun
from runtime.services import commands
from runtime.services.finishing import finish_run
from runtime.services.running import run_task
from runtime.states import RunStatus
from runtime.tests.factories import claim_all, ending, running
from runtime.tests.starts import begun

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo", max_parallel_runs=50)


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=50)


@pytest.fixture(autouse=True)
def wide(settings: Settings) -> None:
    settings.MAX_PARALLEL_RUNS = 50


def planned() -> list[int]:
    """Return the tasks that are candidates now, in their order."""
    return [candidate.task_id for candidate in planning.candidates(planning.room())]


def why(task: Task) -> Reason | None:
    return plan([planning.candidate_of(task)], planning.room()).waiting.get(task.pk)


def another_project(tmp_path: Path, name: str, *, tasks: int = 1) -> Project:
    """Make a project that is ready to work."""
    made = make_project(tmp_path / name, max_parallel_runs=50)
    make_agent(made, max_parallel_runs=50)
    for _ in range(tasks):
        make_task(made)
    return made


def queued_again(task: Task, agent: Agent) -> TaskRun:
    """Return a run that was interrupted and waits for any scheduler."""
    run = begun(task, agent)
    finish_run(run, ending("interrupted"))
    return run


def retry_of(task: Task, agent: Agent) -> TaskRun:
    finish_run(begun(task, agent), ending("failed", code="overloaded"))
    return TaskRun.objects.get(task=task, status=RunStatus.RETRY_SCHEDULED)


# Order


def test_tasks_come_by_priority_then_start_time_then_age(project: Project, agent: Agent) -> None:
    now = timezone.now()
    low, late, early, plain = (
        make_task(project, priority=3),
        make_task(project, not_before=now - timedelta(hours=1)),
        make_task(project, not_before=now - timedelta(hours=2)),
        make_task(project),
    )
    urgent, younger = make_task(project, priority=0), make_task(project)
    assert planned() == [task.pk for task in (urgent, plain, younger, early, late, low)]


def test_projects_take_turns_and_the_one_served_longest_ago_begins(
    project: Project, agent: Agent, tmp_path: Path
) -> None:
    for _ in range(3):
        make_task(project, priority=0)
    never, long_ago = another_project(tmp_path, "never"), another_project(tmp_path, "long-ago", tasks=2)
    for served, ago_s in ((project, 1), (long_ago, 60)):
        Project.objects.filter(pk=served.pk).update(last_served_at=leases.now() - timedelta(seconds=ago_s))
    order = list(Task.objects.filter(pk__in=planned()).values_list("pk", "project_id"))
    projects = dict(order)
    assert [projects[task] for task in planned()] == [
        never.pk, long_ago.pk, project.pk, long_ago.pk, project.pk, project.pk,
    ]  # fmt: skip


def test_what_was_begun_goes_on_before_anything_new_begins(project: Project, agent: Agent) -> None:
    begun_before = queued_again(make_task(project, priority=4), agent)
    urgent = make_task(project, priority=0)
    assert planned() == [begun_before.task_id, urgent.pk]


def test_no_more_than_a_batch_is_looked_at_per_project(project: Project, agent: Agent) -> None:
    for _ in range(planning.BATCH + 4):
        make_task(project)
    assert len(planned()) == planning.BATCH


# What is no candidate, and why


def test_what_waits_for_something_is_no_candidate(project: Project, agent: Agent) -> None:
    first = make_task(project)
    make_task(project, depends_on=[first])
    commands.pause_task(make_task(project), actor=ACTOR)
    make_task(project, not_before=timezone.now() + timedelta(hours=1))
    set_status(make_task(project), TaskStatus.FAILED)
    assert planned() == [first.pk]


def test_why_tells_what_keeps_a_task(project: Project, agent: Agent) -> None:
    first = make_task(project)
    held = commands.pause_task(make_task(project), actor=ACTOR)
    tasks = [
        first,
        make_task(project, depends_on=[first]),
        held,
        make_task(project, not_before=timezone.now() + timedelta(hours=1)),
    ]
    assert [why(task) for task in tasks] == [None, Reason.DEPENDENCY, Reason.HELD, Reason.NOT_BEFORE]


def test_a_retry_waits_for_its_time(project: Project, agent: Agent) -> None:
    run = retry_of(make_task(project), agent)
    TaskRun.objects.filter(pk=run.pk).update(next_retry_at=leases.now() + timedelta(hours=1))
    assert why(Task.objects.get()) == Reason.RETRY_AT
    assert planned() == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"is_paused": True}, Reason.PROJECT_PAUSED),
        ({"max_parallel_runs": 0}, Reason.NO_SLOT),
        ({"daily_budget_usd": Decimal(0)}, Reason.BUDGET),
    ],
)
def test_a_project_without_room_has_no_candidates(
    project: Project, agent: Agent, changes: dict[str, Any], reason: Reason
) -> None:
    queued_again(make_task(project), agent)
    task = make_task(project)
    update_project(project, actor=ACTOR, **changes)
    assert (planned(), why(task)) == ([], reason)


def test_nothing_is_looked_for_without_a_slot(project: Project, agent: Agent, settings: Settings) -> None:
    make_task(project)
    settings.MAX_PARALLEL_RUNS = 0
    assert planned() == []


def test_a_paused_agent_has_no_candidates_and_an_archived_project_has_none(
    project: Project, agent: Agent, tmp_path: Path
) -> None:
    task = make_task(project, assignee=agent)
    update_agent(agent, actor=ACTOR, status=AgentStatus.PAUSED)
    update_project(another_project(tmp_path, "archived"), actor=ACTOR, is_archived=True)
    assert (planned(), why(task)) == ([], Reason.AGENT_PAUSED)


def use_up_its_limits(task: Task, agent: Agent, outcome: str) -> None:
    """Have an agent work on a task for two turns, and let the task have no more than that."""
    finish_run(running(task, agent), ending(outcome, code="auth"))
    Task.objects.filter(pk=task.pk).update(limits={"turns": 2})


def test_tasks_whose_limits_are_used_up_hide_no_other(
    project: Project, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "BATCH", 2)
    for _ in range(5):
        task = make_task(project, priority=0)
        use_up_its_limits(task, agent, "failed")
        commands.retry_task(Task.objects.get(pk=task.pk), actor=ACTOR)
    good = make_task(project)
    assert planned() == [good.pk]


def test_queued_runs_of_tasks_whose_limits_are_used_up_hide_no_other(
    project: Project, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "BATCH", 2)
    for _ in range(5):
        use_up_its_limits(make_task(project), agent, "interrupted")
    good = make_task(project)
    run_task(good, actor=ACTOR)
    assert planned() == [good.pk]


def test_a_full_review_keeps_new_work_back_until_some_is_approved(project: Project, agent: Agent) -> None:
    update_project(project, actor=ACTOR, max_in_review=1)
    run = begun(make_task(project), agent)
    task = make_task(project)
    finish_run(run, ending("finished"))
    assert (planned(), why(task)) == ([], Reason.REVIEW_FULL)
    inbox.approve_task(Task.objects.get(pk=run.task_id), actor=ACTOR)
    assert planned() == [task.pk]


def test_the_budget_is_what_the_day_has_less_what_is_spent_and_what_is_reserved(project: Project, agent: Agent) -> None:
    update_project(project, actor=ACTOR, daily_budget_usd=Decimal(10))
    for day in (timezone.now().date(), timezone.now().date() - timedelta(days=1)):
        record_usage(day=day, provider="noop", model="m", project_id=project.pk, cost_usd=Decimal(3))
    make_task(project, limits={"usd": 2.5})
    claim_all()
    assert Day().left(project) == {"usd": Decimal("4.5")}


def test_runs_that_cannot_go_on_do_not_hide_those_behind_them(
    project: Project, agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "BATCH", 3)
    for _ in range(3):
        queued_again(make_task(project), agent)
    update_project(project, actor=ACTOR, is_paused=True)
    other = another_project(tmp_path, "other", tasks=0)
    waiting = queued_again(make_task(other), Agent.objects.get(project=other))
    assert planned() == [waiting.task_id]


def test_a_run_of_an_archived_project_keeps_nobody_from_planning(
    project: Project, agent: Agent, tmp_path: Path
) -> None:
    queued_again(make_task(project), agent)
    update_project(project, actor=ACTOR, is_archived=True)
    another_project(tmp_path, "other")
    assert [run.task.project_id for run in claim_all()] == [Project.objects.get(is_archived=False).pk]


# When to look again


def test_nothing_comes_due_where_nothing_waits_for_time(project: Project, agent: Agent) -> None:
    make_task(project)
    assert planning.next_due() is None


def test_the_next_time_is_that_of_a_task_or_of_a_retry(project: Project, agent: Agent) -> None:
    make_task(project, not_before=timezone.now() + timedelta(seconds=1000))
    assert 900 < (planning.next_due() or 0) <= 1000
    run = retry_of(make_task(project), agent)
    TaskRun.objects.filter(pk=run.pk).update(next_retry_at=leases.now() + timedelta(seconds=100))
    assert 50 < (planning.next_due() or 0) <= 100


def test_a_retry_that_is_late_is_due_now(project: Project, agent: Agent) -> None:
    run = retry_of(make_task(project), agent)
    TaskRun.objects.filter(pk=run.pk).update(next_retry_at=leases.now() - timedelta(seconds=100))
    assert planning.next_due() == 0


def test_a_retry_of_a_held_task_keeps_nobody_awake(project: Project, agent: Agent) -> None:
    run = retry_of(make_task(project), agent)
    TaskRun.objects.filter(pk=run.pk).update(next_retry_at=leases.now() - timedelta(seconds=100))
    commands.pause_task(Task.objects.get(), actor=ACTOR)
    assert planning.next_due() is None


# What it costs


def queries() -> int:
    with CaptureQueriesContext(connection) as captured:
        planning.candidates(planning.room())
    return len(captured)


def test_planning_asks_as_often_for_many_tasks_as_for_few(project: Project, agent: Agent) -> None:
    waiting = [make_task(project) for _ in range(4)]
    queued_again(waiting.pop(), agent)
    few = queries()
    for task in waiting:
        queued_again(task, agent)
    Task.objects.bulk_create([Task(project=project, title="x") for _ in range(30)])
    assert queries() == few


def test_projects_with_nothing_to_do_are_not_asked_one_by_one(project: Project, agent: Agent, tmp_path: Path) -> None:
    make_task(project)
    another_project(tmp_path, "idle", tasks=0)
    with_one = queries()
    for name in ("idler", "idlest"):
        another_project(tmp_path, name, tasks=0)
    assert queries() == with_one


def test_of_a_single_project_no_order_is_asked_for(project: Project, agent: Agent, tmp_path: Path) -> None:
    make_task(project)
    alone = queries()
    another_project(tmp_path, "idle", tasks=0)
    assert queries() == alone + 1


def test_planning_reads_no_more_of_a_task_than_it_looks_at(project: Project, agent: Agent) -> None:
    queued_again(make_task(project), agent)
    make_task(project)
    with CaptureQueriesContext(connection) as captured:
        assert len(planned()) == 2
    assert [query["sql"] for query in captured if '"description"' in query["sql"].split(" FROM ")[0]] == []


def explained(tasks: QuerySet[Task], project: Project) -> str:
    """Return how the database finds the first of many ready tasks among as many that are done."""
    fill(project)
    return tasks.explain()


def fill(project: Project) -> None:
    others = Project.objects.bulk_create(Project(name="x", slug=f"x-{number}", root_path="/x") for number in range(20))
    Task.objects.bulk_create(
        Task(project=owner, title="x", status=TaskStatus.TODO if number % 2 else TaskStatus.DONE)
        for owner in [project] * 20 + others
        for number in range(100)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE orchestration_task")


def test_planning_finds_ready_tasks_by_the_index_of_their_project(
    project: Project, agent: Agent, tmp_path: Path
) -> None:
    fill(project)
    another_project(tmp_path, "idle", tasks=0)
    asked: list[tuple[str, Any]] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        asked.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        assert len(planned()) == planning.BATCH
    found = [explain(sql, params) for sql, params in asked if '"unmet_dependencies" =' in sql]
    assert len(found) == 2  # which projects have one, and which of this project are the next
    assert [each for each in found if not re.search(r"\btask_ready_project\b", each)] == []


def explain(sql: str, params: Any) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"{connection.ops.explain_query_prefix()} {sql}", params)
        return "\n".join(str(row) for row in cursor.fetchall())


def test_the_next_tasks_of_a_project_are_read_from_its_index_in_order(project: Project) -> None:
    found = explained(Task.objects.due(timezone.now()).filter(project_id=project.pk)[: planning.BATCH], project)
    assert re.search(r"\btask_ready_project\b", found), found
    assert not re.search("TEMP B-TREE|Sort", found), found


def test_the_next_tasks_of_all_projects_are_read_from_an_index_in_order(project: Project) -> None:
    found = explained(Task.objects.due(timezone.now())[: planning.BATCH], project)
    assert re.search(r"\btask_ready\b", found), found
    assert not re.search("TEMP B-TREE|Sort", found), found


def test_the_next_ready_task_to_come_due_is_read_from_an_index(project: Project) -> None:
    found = explained(Task.objects.next_due(timezone.now())[:1], project)
    assert re.search(r"\btask_ready_later\b", found), found
    assert not re.search("TEMP B-TREE|Sort", found), found
