"""Several ends in one transaction: each has its own guard, and one that cannot be written so takes no other with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from events.models import Event
from events.states import EventType
from inbox.models import InboxItem
from llm.models import UsageDaily
from orchestration.models import Agent, Project, Task
from orchestration.services.projects import update_project
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_project, make_task
from runtime.exceptions import StaleRun
from runtime.models import DayUse, Slot, TaskRun
from runtime.services import commands, finishing
from runtime.services.completing import Ending
from runtime.services.finishing import finish_run, finish_together
from runtime.states import RunStatus
from runtime.tests.factories import claim_all, ending
from runtime.tests.halves import shake_hands
from sql.inserts import insert_all

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(tmp_path: Path, settings: Settings) -> Project:
    settings.MAX_PARALLEL_RUNS = 16
    return make_project(tmp_path / "repo", max_parallel_runs=16)


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=16)


Begin = Callable[[int], list[TaskRun]]


@pytest.fixture
def begin(project: Project, agent: Agent) -> Begin:
    """Let so many runs begin."""

    def begun(count: int) -> list[TaskRun]:
        for _ in range(count):
            make_task(project)
        runs = claim_all()
        shake_hands(runs)
        return runs

    return begun


def ends(runs: list[TaskRun], outcome: str = "finished") -> list[Ending]:
    return [Ending(run, ending(outcome, message=f"Did {run.pk}."), "abc") for run in runs]


def states() -> set[tuple[str, str]]:
    return {(run.status, run.task.status) for run in TaskRun.objects.select_related("task")}


def test_each_run_ends_with_what_it_said_and_used(begin: Begin) -> None:
    runs = begin(3)
    assert finish_together(ends(runs))
    assert states() == {(RunStatus.SUCCEEDED, TaskStatus.REVIEW)}
    found = TaskRun.objects.order_by("pk").values_list("summary", "token_in", "cost_usd", "turns", "owner", "version")
    assert list(found) == [(f"Did {run.pk}.", 100, Decimal("0.01"), 2, "", 3) for run in runs]
    assert {item.content for item in InboxItem.objects.all()} == {f"Did {run.pk}." for run in runs}


@pytest.mark.breaks_invariants  # tasks that are done without ever having been ready
def test_the_ends_are_not_looked_for_among_all_runs(begin: Begin, project: Project, agent: Agent) -> None:
    over = [Task(project=project, title="Over", status=TaskStatus.DONE) for _ in range(2000)]
    insert_all(Task, over)
    own = {"agent": agent, "attempt": 1, "status": RunStatus.SUCCEEDED, "trace_id": "t"}
    insert_all(TaskRun, [TaskRun(task=task, idempotency_key=f"over-{task.pk}", **own) for task in over])
    with CaptureQueriesContext(connection) as captured:
        assert finish_together([Ending(run, ending("finished")) for run in begin(3)])
    [end] = [query["sql"] for query in captured if re.match("UPDATE .* AS given", query["sql"], re.DOTALL)]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE")
        cursor.execute(f"{connection.ops.explain_query_prefix()} {end.replace('%', '%%')}", [])
        plan = "\n".join(str(row) for row in cursor.fetchall())
    assert not re.search(r"SCAN run\b|Seq Scan on runtime_taskrun", plan), plan


def test_what_is_shared_is_settled_for_all(begin: Begin) -> None:
    finish_together(ends(begin(3)))
    assert set(Slot.objects.values_list("running", flat=True)) == {0}
    assert set(DayUse.objects.values_list("runs", "turns", "cost_usd")) == {(3, 6, Decimal("0.03"))}
    assert list(UsageDaily.objects.values_list("run_count", "token_in")) == [(3, 300)]


def test_it_tells_of_each_run_task_and_item(begin: Begin) -> None:
    runs = begin(3)
    before = Event.objects.latest("pk").pk
    finish_together(ends(runs))
    told = Event.objects.after(before)
    assert {event.trace_id for event in told} == {run.trace_id for run in runs}
    assert sorted(event.type for event in told) == sorted(
        3 * [EventType.RUN_STATUS_CHANGED, EventType.TASK_STATUS_CHANGED, EventType.INBOX_ITEM_CREATED]
    )


def test_a_run_knows_what_the_database_has_worked_out(begin: Begin) -> None:
    [run, _] = begin(2)
    finish_together(ends([run, _]))
    assert (run.status, run.token_in, run.version) == (RunStatus.SUCCEEDED, 100, 3)


@pytest.mark.parametrize("change", [{"epoch": 2}, {"owner": "scheduler-two"}, {"status": RunStatus.QUEUED}])
def test_nothing_is_written_when_one_was_superseded(begin: Begin, change: dict[str, object]) -> None:
    runs = begin(3)
    TaskRun.objects.filter(pk=runs[1].pk).update(**change)
    assert not finish_together(ends(runs))
    assert not TaskRun.objects.filter(status=RunStatus.SUCCEEDED).exists()
    assert not UsageDaily.objects.exists()


def test_the_others_end_alone_when_one_was_superseded(begin: Begin) -> None:
    runs = begin(3)
    TaskRun.objects.filter(pk=runs[1].pk).update(owner="scheduler-two")
    finish_together(ends(runs))
    finish_run(runs[0], ending("finished"))
    with pytest.raises(StaleRun):
        finish_run(runs[1], ending("finished"))
    finish_run(runs[2], ending("finished"))
    assert sorted(TaskRun.objects.values_list("status", flat=True)) == ["running", "succeeded", "succeeded"]


def test_a_cancel_is_honoured_though_the_others_end_together(begin: Begin) -> None:
    runs = begin(3)
    commands.cancel_task(runs[1].task, actor=ACTOR)
    assert not finish_together(ends(runs))
    finish_run(runs[1], ending("finished"))
    assert (runs[1].status, runs[1].task.status) == (RunStatus.CANCELLED, TaskStatus.CANCELLED)
    assert finish_together(ends([runs[0], runs[2]]))


def test_a_batch_that_cannot_be_written_leaves_its_runs_as_they_were(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = begin(2)
    before = [dict(vars(run)) for run in runs]
    monkeypatch.setattr(finishing, "settle_ledger", failing(ValueError("A mistake.")))
    assert not finish_together(ends(runs))
    assert [vars(run) for run in runs] == before
    monkeypatch.undo()
    assert finish_together(ends(runs))


def test_a_database_that_is_away_is_no_reason_to_try_one_by_one(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = begin(2)
    monkeypatch.setattr(finishing, "settle_ledger", failing(OperationalError("gone")))
    with pytest.raises(OperationalError):
        finish_together(ends(runs))


def failing(error: Exception) -> Callable[..., None]:
    def fail(*_given: object) -> None:
        raise error

    return fail


def test_only_reported_work_is_approved_by_itself(begin: Begin, project: Project) -> None:
    update_project(project, actor=ACTOR, auto_approve=True)
    runs = begin(2)
    assert finish_together([*ends(runs[:1]), *ends(runs[1:], "unreported")])
    approved = {run.pk: run.task.approved_at is not None for run in TaskRun.objects.select_related("task")}
    assert approved == {runs[0].pk: True, runs[1].pk: False}
    assert InboxItem.objects.get().run_id == runs[1].pk


def asked(act: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as queries:
        act()
    return len([query for query in queries if not query["sql"].startswith(("SAVEPOINT", "RELEASE"))])


def test_claiming_16_runs_takes_no_more_queries_than_one(project: Project, agent: Agent) -> None:
    make_task(project)
    claim_all()  # makes the slots
    make_task(project)
    of_one = asked(claim_all)
    for _ in range(15):
        make_task(project)
    assert asked(claim_all) == of_one


def test_beginning_16_runs_takes_no_more_queries_than_one(project: Project, agent: Agent) -> None:
    for _ in range(16):
        make_task(project)
    first, *others = claim_all()
    of_one = asked(lambda: shake_hands([first]))
    assert asked(lambda: shake_hands(others)) == of_one


def test_finishing_16_runs_takes_no_more_queries_than_one(begin: Begin) -> None:
    first, second, *others = begin(16)
    finish_run(first, ending("finished"))  # the day's first
    of_one = asked(lambda: finish_together(ends([second])))
    assert asked(lambda: finish_together(ends(others))) == of_one


def test_finishing_a_run_takes_20_queries_at_most(begin: Begin) -> None:
    first, second = begin(2)
    finish_run(first, ending("finished"))
    assert asked(lambda: finish_run(second, ending("finished"))) <= 20


def test_a_handshake_is_made_by_all_or_none(begin: Begin, project: Project) -> None:
    for _ in range(3):
        make_task(project)
    runs = claim_all()
    TaskRun.objects.filter(pk=runs[1].pk).update(epoch=7)
    with pytest.raises(StaleRun):
        shake_hands(runs)
    assert set(TaskRun.objects.values_list("status", flat=True)) == {RunStatus.QUEUED}
    assert {run.status for run in runs} == {RunStatus.QUEUED}
