from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from events.models import Event
from events.states import EventType
from orchestration.exceptions import CrossProject, Invalid, InvalidTransition, VersionConflict
from orchestration.models import Project, Task
from orchestration.services.tasks import create_task, mark_task, move_task, update_task
from orchestration.states import MOVES, TaskStatus
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
