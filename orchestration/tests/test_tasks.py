from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from django.db.models import Q
from django.utils import timezone

from events.models import Event
from events.states import EventType
from orchestration.exceptions import (
    Archived,
    CrossProject,
    Gone,
    Invalid,
    InvalidTransition,
    TaskOpen,
    VersionConflict,
)
from orchestration.models import Project, Task
from orchestration.services.projects import update_project
from orchestration.services.tasks import create_task, mark_task, move_task, update_task
from orchestration.states import MOVES, OVER, TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_project, make_task, set_status

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo")


@pytest.mark.parametrize(("here", "there"), list(product(list(TaskStatus), repeat=2)))
def test_only_listed_moves_are_made(project: Project, here: TaskStatus, there: TaskStatus) -> None:
    task = set_status(make_task(project), here)
    if there in MOVES[here]:
        assert move_task(task, there, actor=ACTOR).status == there
    else:
        with pytest.raises(InvalidTransition) as refusal:
            move_task(task, there, actor=ACTOR)
        assert refusal.value.data == {"status": here}


def test_a_move_writes_one_event_with_the_trace(project: Project) -> None:
    task = make_task(project)
    move_task(task, TaskStatus.RUNNING, actor=ACTOR, reason="claimed", trace_id="trace-1")
    event = Event.objects.get(type=EventType.TASK_STATUS_CHANGED)
    assert (event.task_id, event.trace_id) == (task.pk, "trace-1")
    assert event.payload == {"before": "todo", "after": "running", "version": 2, "reason": "claimed"}


def test_second_of_two_stale_callers_loses(project: Project) -> None:
    task = make_task(project)
    first, second = Task.objects.get(pk=task.pk), Task.objects.get(pk=task.pk)
    move_task(first, TaskStatus.RUNNING, actor=ACTOR)
    with pytest.raises(InvalidTransition):
        move_task(second, TaskStatus.RUNNING, actor=ACTOR)


def test_a_refused_move_writes_no_event(project: Project) -> None:
    task = set_status(make_task(project), TaskStatus.DONE)
    before = Event.objects.count()
    with pytest.raises(InvalidTransition):
        move_task(task, TaskStatus.TODO, actor=ACTOR)
    assert Event.objects.count() == before


def test_expected_version_is_the_lock(project: Project) -> None:
    task = make_task(project)
    with pytest.raises(VersionConflict) as refusal:
        move_task(task, TaskStatus.RUNNING, actor=ACTOR, expected_version=7)
    assert refusal.value.data == {"version": 1, "status": "todo"}


def test_leaving_review_clears_the_approval(project: Project) -> None:
    task = set_status(make_task(project), TaskStatus.REVIEW)
    mark_task(task, actor=ACTOR, approved_at=task.created_at)
    assert move_task(task, TaskStatus.TODO, actor=ACTOR).approved_at is None


def test_update_records_the_fields_that_changed(project: Project) -> None:
    task = update_task(make_task(project, title="Old"), actor=ACTOR, title="New", priority=2)
    event = Event.objects.get(type=EventType.TASK_UPDATED)
    assert (task.title, task.version, event.payload["fields"]) == ("New", 2, ["title"])


def test_update_of_nothing_is_no_change(project: Project) -> None:
    task = make_task(project, title="Same")
    assert update_task(task, actor=ACTOR, title="Same").version == 1


def test_stale_update_is_refused(project: Project) -> None:
    task = make_task(project)
    stale = Task.objects.get(pk=task.pk)
    update_task(task, actor=ACTOR, title="First")
    with pytest.raises(VersionConflict):
        update_task(stale, actor=ACTOR, title="Second")


def test_agent_of_another_project_is_refused(project: Project, tmp_path: Path) -> None:
    stranger = make_agent(make_project(tmp_path / "other"))
    with pytest.raises(CrossProject):
        make_task(project, assignee=stranger)
    assert not Task.objects.exists()


def test_a_task_cannot_be_its_own_ancestor(project: Project) -> None:
    parent = make_task(project)
    child = make_task(project, parent=parent)
    with pytest.raises(Invalid):
        update_task(parent, actor=ACTOR, parent=child)
    with pytest.raises(Invalid):
        update_task(parent, actor=ACTOR, parent=parent)


def test_a_stale_row_hides_no_circle_of_parents(project: Project) -> None:
    first, second = make_task(project), make_task(project)
    stale = Task.objects.select_related("parent").get(pk=second.pk)
    update_task(second, actor=ACTOR, parent=first)
    with pytest.raises(Invalid):
        update_task(first, actor=ACTOR, parent=stale)


def test_a_task_may_be_moved_up_and_below_another_task(project: Project) -> None:
    first, second = make_task(project), make_task(project)
    task = make_task(project, parent=first)
    assert update_task(task, actor=ACTOR, parent=second).parent == second
    assert update_task(task, actor=ACTOR, parent=None).parent is None


def test_no_subtask_is_put_below_what_is_archived_or_gone(project: Project) -> None:
    task, parent = make_task(project), set_status(make_task(project), TaskStatus.DONE)
    update_task(parent, actor=ACTOR, is_archived=True)
    with pytest.raises(Archived):
        update_task(task, actor=ACTOR, parent=parent)
    Task.objects.filter(pk=parent.pk).delete()
    with pytest.raises(Gone):
        make_task(project, parent=parent)


@pytest.mark.parametrize("status", sorted(OVER))
def test_what_is_over_can_be_archived_and_brought_back(project: Project, status: TaskStatus) -> None:
    task = set_status(make_task(project), status)
    assert update_task(task, actor=ACTOR, is_archived=True).is_archived
    assert not update_task(task, actor=ACTOR, is_archived=False).is_archived
    events = Event.objects.filter(type=EventType.TASK_UPDATED)
    assert [event.payload["fields"] for event in events] == [["is_archived"], ["is_archived"]]


@pytest.mark.parametrize("status", sorted(set(TaskStatus) - OVER))
def test_what_is_not_over_is_not_archived(project: Project, status: TaskStatus) -> None:
    task = set_status(make_task(project), status)
    with pytest.raises(TaskOpen) as refusal:
        update_task(task, actor=ACTOR, is_archived=True)
    assert refusal.value.data == {"status": status}


@pytest.mark.parametrize("status", [TaskStatus.FAILED, TaskStatus.CANCELLED])
def test_an_archived_task_does_not_move(project: Project, status: TaskStatus) -> None:
    task = update_task(set_status(make_task(project), status), actor=ACTOR, is_archived=True)
    with pytest.raises(Archived):
        move_task(task, TaskStatus.TODO, actor=ACTOR)
    assert Task.objects.get().status == status


def test_an_archived_project_gains_no_tasks_and_starts_none(project: Project) -> None:
    task = make_task(project)
    update_project(project, actor=ACTOR, is_archived=True)
    with pytest.raises(Archived):
        make_task(project)
    assert not Task.objects.ready().exists()
    update_project(project, actor=ACTOR, is_archived=False)
    assert Task.objects.due(timezone.now()).get() == task


def test_a_move_of_a_task_that_is_gone_is_refused(project: Project) -> None:
    task = make_task(project)
    Task.objects.all().delete()
    with pytest.raises(Gone):
        move_task(task, TaskStatus.RUNNING, actor=ACTOR)
    with pytest.raises(Gone):
        mark_task(task, actor=ACTOR, is_held=True)


def test_a_move_may_ask_for_more_of_the_row(project: Project) -> None:
    task = make_task(project)
    with pytest.raises(InvalidTransition):
        move_task(task, TaskStatus.RUNNING, actor=ACTOR, where=Q(is_held=True))
    assert move_task(task, TaskStatus.RUNNING, actor=ACTOR, where=Q(is_held=False)).status == TaskStatus.RUNNING


@pytest.mark.parametrize(
    "fields",
    [
        {"title": ""},
        {"title": "x" * 301},
        {"priority": 9},
        {"limits": {"usd": -1}},
        {"limits": {"beer": 1}},
        {"checks": "make"},
    ],
)
def test_bad_values_are_refused_and_nothing_is_written(project: Project, fields: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        create_task(project, **{"title": "Good", "actor": ACTOR} | fields)
    assert not Task.objects.exists()
