from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.utils import OperationalError

from events.models import Event
from events.states import EventType
from inbox.exceptions import UserInputRequired
from orchestration.exceptions import Invalid
from orchestration.models import Agent, Project, Task
from orchestration.services.tasks import update_task
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_project, make_task, set_status
from runtime.exceptions import TooMany
from runtime.services import broadcasting
from runtime.services.broadcasting import Broadcast, broadcast
from runtime.services.finishing import finish_run
from runtime.states import RunStatus
from runtime.tests.factories import ending
from runtime.tests.starts import begun

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=4)


def outcomes(done: Broadcast) -> list[tuple[int, str, str | None]]:
    return [(result.task, result.outcome, result.code) for result in done.results]


def audits() -> list[tuple[int | None, str]]:
    found = Event.objects.filter(type=EventType.TASK_INTERVENTION_AUDIT).order_by("id")
    return [(event.task_id, event.payload["outcome"]) for event in found]


def test_applied_refused_and_conflicting_are_told_apart_and_audited(project: Project) -> None:
    applied, refused, conflicting = make_task(project), make_task(project), make_task(project)
    set_status(refused, TaskStatus.DONE)
    ids = [conflicting.pk, refused.pk, applied.pk]
    done = broadcast("pause", actor=ACTOR, ids=ids, expected_versions={conflicting.pk: 7})
    assert outcomes(done) == [
        (applied.pk, "applied", None),
        (refused.pk, "refused", "invalid_transition"),
        (conflicting.pk, "conflict", "version_conflict"),
    ]
    assert (done.applied, done.refused, done.conflicts) == (1, 1, 1)
    assert audits() == [(applied.pk, "applied"), (refused.pk, "refused"), (conflicting.pk, "conflict")]


def test_an_outcome_tells_the_status_and_version_of_now(project: Project) -> None:
    task = make_task(project)
    update_task(task, actor=ACTOR, priority=0)
    [applied] = broadcast("cancel", actor=ACTOR, ids=[task.pk]).results
    [refused] = broadcast("pause", actor=ACTOR, ids=[task.pk]).results
    assert (applied.status, applied.version) == (refused.status, refused.version) == ("cancelled", 3)


def test_an_id_that_is_nobodys_or_may_not_be_seen_is_not_found(project: Project, tmp_path: Path) -> None:
    hidden = make_task(make_project(tmp_path / "other"))
    visible = Task.objects.filter(project=project)
    done = broadcast("pause", actor=ACTOR, ids=[hidden.pk, 10**9], among=visible)
    assert outcomes(done) == [(hidden.pk, "refused", "not_found"), (10**9, "refused", "not_found")]
    assert not Task.objects.get(pk=hidden.pk).is_held


def test_an_id_that_another_selector_leaves_out_is_answered_and_left_alone(project: Project) -> None:
    task = make_task(project)
    done = broadcast("pause", actor=ACTOR, ids=[task.pk], statuses=["running"])
    assert outcomes(done) == [(task.pk, "refused", "not_selected")]
    assert audits() == []


def test_an_id_given_twice_is_commanded_once(project: Project) -> None:
    task = make_task(project)
    assert len(broadcast("pause", actor=ACTOR, ids=[task.pk, task.pk]).results) == 1


def test_an_agents_tasks_are_those_assigned_to_it_and_those_it_works_on(project: Project, agent: Agent) -> None:
    under_way, ended = make_task(project), make_task(project)
    finish_run(begun(under_way, agent), ending("blocked"))
    finish_run(begun(ended, agent), ending("finished"))
    Task.objects.update(assignee=None)
    assigned = make_task(project, assignee=agent)
    done = broadcast("cancel", actor=ACTOR, agent=agent)
    assert [result.task for result in done.results] == [under_way.pk, assigned.pk]
    assert under_way.runs.get().status == RunStatus.CANCELLED


def test_what_is_archived_has_to_be_named(project: Project) -> None:
    task = set_status(make_task(project), TaskStatus.FAILED)
    update_task(task, actor=ACTOR, is_archived=True)
    assert broadcast("retry", actor=ACTOR, project=project).results == []
    assert outcomes(broadcast("retry", actor=ACTOR, ids=[task.pk])) == [(task.pk, "refused", "archived")]


def test_no_ids_are_a_selection_of_nothing(project: Project) -> None:
    make_task(project)
    assert broadcast("cancel", actor=ACTOR, ids=[]).results == []


@pytest.mark.parametrize(
    ("command", "given", "error"),
    [
        ("pause", {}, Invalid),
        ("explode", {"ids": [1]}, Invalid),
        ("pause", {"statuses": ["asleep"]}, Invalid),
        ("request-changes", {"ids": [1], "changes": " "}, UserInputRequired),
    ],
)
def test_a_call_that_makes_no_sense_is_refused_as_a_whole(
    project: Project, command: str, given: dict[str, Any], error: type[Invalid]
) -> None:
    make_task(project)
    with pytest.raises(error):
        broadcast(command, actor=ACTOR, **given)
    assert audits() == []


@pytest.mark.parametrize("given", [{"ids": range(1, 5)}, {"statuses": ["todo"]}])
def test_more_tasks_than_allowed_are_refused_with_their_number(
    project: Project, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcasting, "MAX_TASKS", 3)
    for _ in range(4):
        make_task(project)
    with pytest.raises(TooMany, match="4 tasks") as refusal:
        broadcast("pause", actor=ACTOR, **given)
    assert refusal.value.data == {"count": 4, "limit": 3}


def test_changes_go_back_to_every_task_in_review(project: Project, agent: Agent) -> None:
    for _ in range(2):
        finish_run(begun(make_task(project), agent), ending("finished"))
    assert broadcast("request-changes", actor=ACTOR, statuses=["review"], changes="Blue").applied == 2
    assert {task.comments.get().body for task in Task.objects.all()} == {"Blue"}


@pytest.fixture
def broken_task(project: Project) -> Iterator[Task]:
    """Return a task whose every change the database refuses, as it does in a deadlock."""
    task = make_task(project, id=987_654_321)

    def refuse(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("UPDATE") and task.pk in params:
            raise OperationalError("deadlock detected")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        yield task


def test_an_error_of_the_database_is_told_and_the_others_are_carried_out(project: Project, broken_task: Task) -> None:
    other = make_task(project)
    done = broadcast("pause", actor=ACTOR, ids=[other.pk, broken_task.pk])
    assert set(outcomes(done)) == {(other.pk, "applied", None), (broken_task.pk, "conflict", "not_saved")}
    assert not Task.objects.get(pk=broken_task.pk).is_held
