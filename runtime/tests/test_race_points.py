"""Named points at which two meet: one is held there, the other comes, and the first goes on. What is final stays final."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from events.models import Event
from events.states import EventType
from orchestration.models import Agent, Project, Task
from orchestration.scheduler import Choice
from orchestration.services import interventions
from orchestration.services.dependencies import add_dependency
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_task
from runtime import leases, recovery, supervision
from runtime.exceptions import RunNotActive, StaleRun
from runtime.models import TaskRun
from runtime.rundir import ExitRecord, RunDirectory
from runtime.services import commands, finishing, promoting
from runtime.states import FINAL, RunStatus
from runtime.supervision import Watch
from runtime.tests.factories import ending
from runtime.tests.halves import claim
from runtime.tests.hands import Hands
from runtime.tests.points import Point
from runtime.tests.replay import disagreements
from runtime.tests.runners import until
from runtime.tests.starts import handshake, make_directory, make_worktree, start_process

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]

OTHER = "two"


@pytest.fixture(autouse=True)
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=4)


@pytest.fixture
def hands(project: Project) -> Hands:
    return Hands("one", Path(project.root_path))


@pytest.fixture
def run(task: Task, hands: Hands) -> TaskRun:
    """Return a run under way, with the worktree that its end looks into."""
    started = handshake(hands.take(task))
    make_worktree(started)
    return started


@pytest.fixture
def directory(run: TaskRun, tmp_path: Path) -> RunDirectory:
    return make_directory(run, tmp_path)


def conclude(run: TaskRun, directory: RunDirectory, outcome: str = "finished") -> None:
    """Finish a run as its scheduler does when it has found the exit record."""
    directory.write_exit(ending(outcome))
    supervision.conclude(Watch(run=run, directory=directory), ending(outcome))


def cancel(task: Task) -> Task:
    return commands.cancel_task(Task.objects.get(pk=task.pk), actor=ACTOR)


def expire(run: TaskRun) -> None:
    TaskRun.objects.filter(pk=run.pk).update(lease_until=leases.now())


def status(run: TaskRun) -> tuple[str, str]:
    found = TaskRun.objects.select_related("task").get(pk=run.pk)
    return found.status, found.task.status


def final_moves(run: TaskRun) -> list[str]:
    moves = Event.objects.filter(type=EventType.RUN_STATUS_CHANGED, run_id=run.pk).order_by("id")
    return [event.payload["after"] for event in moves if event.payload["after"] in FINAL]


# Cancel against finish


def test_a_cancel_that_comes_before_the_end_decides_it(
    run: TaskRun, directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_the_transaction = Point(monkeypatch, supervision, "finish_run", is_open=False)
    before_the_transaction.hold(partial(conclude, run, directory), partial(cancel, run.task))
    assert status(run) == (RunStatus.CANCELLED, TaskStatus.CANCELLED)
    assert final_moves(run) == [RunStatus.CANCELLED]
    assert disagreements() == []


def test_a_cancel_that_comes_during_the_end_is_carried_out_behind_it(
    run: TaskRun, directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_the_commit = Point(monkeypatch, finishing, "settle_ledger", is_open=True)
    before_the_commit.hold(partial(conclude, run, directory), partial(cancel, run.task))
    assert status(run) == (RunStatus.SUCCEEDED, TaskStatus.CANCELLED)
    assert final_moves(run) == [RunStatus.SUCCEEDED]
    assert disagreements() == []


def test_a_cancel_that_comes_during_the_end_is_told_what_has_become_of_it(
    run: TaskRun, directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = partial(commands.cancel_run, TaskRun.objects.select_related("task").get(), actor=ACTOR)
    before_the_commit = Point(monkeypatch, finishing, "settle_ledger", is_open=True)
    _, refusal = before_the_commit.hold(partial(conclude, run, directory), stop)
    assert isinstance(refusal, RunNotActive)
    assert status(run) == (RunStatus.SUCCEEDED, TaskStatus.REVIEW)
    assert disagreements() == []


def test_an_end_that_comes_during_a_cancel_honours_it(
    run: TaskRun, directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_the_commit = Point(monkeypatch, interventions, "_record", is_open=True)
    before_the_commit.hold(partial(cancel, run.task), partial(conclude, run, directory))
    assert status(run) == (RunStatus.CANCELLED, TaskStatus.CANCELLED)
    assert final_moves(run) == [RunStatus.CANCELLED]
    assert disagreements() == []


# Claim and promotion against what people do


def test_a_task_that_was_held_since_the_plan_is_not_claimed(task: Task, agent: Agent) -> None:
    commands.pause_task(Task.objects.get(pk=task.pk), actor=ACTOR)
    assert claim([Choice(task.pk, agent.pk, None)], owner=OTHER) == []


def test_a_task_that_was_given_a_dependency_since_the_plan_is_not_claimed(
    project: Project, task: Task, agent: Agent
) -> None:
    add_dependency(task, depends_on=make_task(project), actor=ACTOR)
    assert claim([Choice(task.pk, agent.pk, None)], owner=OTHER) == []


def test_a_retry_that_was_cancelled_just_before_is_not_promoted(
    run: TaskRun, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands.finish(run, "failed", "overloaded")
    before_the_transaction = Point(monkeypatch, promoting, "_promote_all", is_open=False)
    promoted, _ = before_the_transaction.hold(hands.promote, partial(cancel, run.task))
    assert promoted == 0
    assert TaskRun.objects.get(attempt=2).status == RunStatus.CANCELLED
    assert disagreements() == []


# Take-over against finish


def recover() -> list[Watch]:
    return recovery.adopt_abandoned(owner=OTHER)


def test_a_run_that_was_taken_over_just_before_is_not_finished_by_who_lost_it(
    run: TaskRun, directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    expire(run)
    before_the_transaction = Point(monkeypatch, supervision, "finish_run", is_open=False)
    late, _ = before_the_transaction.hold(partial(conclude, run, directory, "blocked"), recover)
    assert isinstance(late, StaleRun)
    assert status(run) == (RunStatus.INTERRUPTED, TaskStatus.BLOCKED)
    assert disagreements() == []


def test_a_run_that_is_taken_over_while_it_is_being_finished_is_finished(
    run: TaskRun, directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    expire(run)
    before_the_commit = Point(monkeypatch, finishing, "settle_ledger", is_open=True)
    _, adopted = before_the_commit.hold(partial(conclude, run, directory), recover)
    assert adopted == []
    assert status(run) == (RunStatus.SUCCEEDED, TaskStatus.REVIEW)
    assert final_moves(run) == [RunStatus.SUCCEEDED]
    assert TaskRun.objects.get().turns == 2
    assert disagreements() == []


def test_an_end_that_comes_during_a_take_over_leaves_it_to_the_new_owner(
    run: TaskRun, directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    expire(run)
    directory.write_exit(ending("finished"))
    behind_the_take_over = Point(monkeypatch, recovery, "_settle", is_open=False)
    _, late = behind_the_take_over.hold(recover, partial(conclude, run, directory))
    assert isinstance(late, StaleRun)
    assert status(run) == (RunStatus.SUCCEEDED, TaskStatus.REVIEW)
    assert final_moves(run) == [RunStatus.SUCCEEDED]
    assert disagreements() == []


def test_a_scheduler_that_renews_while_another_takes_over_keeps_its_run(
    run: TaskRun, directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    expire(run)
    start_process(directory)
    before_the_take_over = Point(monkeypatch, leases, "take_over", is_open=False)
    adopted, _ = before_the_take_over.hold(recover, partial(leases.renew, run.owner))
    assert adopted == []
    assert TaskRun.objects.get().owner == run.owner


# Adopt against exit


def test_a_runner_that_ends_while_it_is_adopted_is_finished_once(
    run: TaskRun, directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes its exit record behind the look for one, and is gone before the look for its process."""
    expire(run)
    process = start_process(directory)
    matches = recovery._matches

    def end_and_match(*given: Any) -> bool:
        directory.write_exit(ending("finished"))
        process.kill()
        process.wait()
        return matches(*given)

    monkeypatch.setattr(recovery, "_matches", end_and_match)
    assert recover() == []
    assert status(run) == (RunStatus.SUCCEEDED, TaskStatus.REVIEW)
    assert final_moves(run) == [RunStatus.SUCCEEDED]
    assert disagreements() == []


@pytest.mark.parametrize("record", [ending("finished"), None], ids=["with a record", "without"])
def test_a_runner_that_ends_behind_its_adoption_is_noticed(
    run: TaskRun, directory: RunDirectory, monkeypatch: pytest.MonkeyPatch, record: ExitRecord | None
) -> None:
    """It was alive when it was adopted, and is gone before anybody watches it."""
    expire(run)
    process = start_process(directory)
    watch = supervision.watch

    def end_and_watch(*given: Any) -> Watch:
        if record is not None:
            directory.write_exit(record)
        process.kill()
        process.wait()
        return watch(*given)

    monkeypatch.setattr(supervision, "watch", end_and_watch)
    [watched] = recover()
    found = until(lambda: supervision.ended(watched), "its end to be noticed")
    supervision.conclude(watched, found)
    watched.close()
    assert status(run)[0] == (RunStatus.SUCCEEDED if record else RunStatus.QUEUED)
    assert disagreements() == []
