from __future__ import annotations

from pathlib import Path

import pytest
from django.db import IntegrityError, connection

from events import services as events
from events.models import Event
from events.states import EventType
from orchestration.exceptions import Conflict, DomainError, Gone, Invalid, VersionConflict
from orchestration.models import Task
from orchestration.services.interventions import audited, require_version
from orchestration.services.tasks import mark_task, move_task
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_project, make_task

pytestmark = pytest.mark.django_db


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return make_task(make_project(tmp_path / "repo"))


@audited("hold")
def hold(task: Task, *, actor: str, expected_version: int | None = None) -> Task:
    require_version(task, expected_version)
    return mark_task(task, actor=actor, is_held=True)


@audited("fail")
def hold_and_fail(task: Task, *, actor: str, error: Exception) -> Task:
    """Write something, so that there is something to undo, and refuse after all."""
    mark_task(task, actor=actor, is_held=True)
    raise error


def audits() -> list[tuple[str, str, str, str]]:
    found = Event.objects.filter(type=EventType.TASK_INTERVENTION_AUDIT).order_by("id")
    told = [event.payload for event in found]
    return [(audit["command"], audit["outcome"], audit["status"], audit["reason"]) for audit in told]


def test_a_command_that_is_carried_out_is_recorded_with_it(task: Task) -> None:
    assert hold(task, actor=ACTOR).is_held
    assert audits() == [("hold", "applied", "todo", "")]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Conflict("Not now."), "refused"),
        (Invalid("Not so."), "refused"),
        (VersionConflict("Too late."), "conflict"),
    ],
)
def test_a_refusal_is_recorded_and_what_was_done_before_it_is_not(task: Task, error: DomainError, outcome: str) -> None:
    with pytest.raises(type(error)):
        hold_and_fail(task, actor=ACTOR, error=error)
    assert audits() == [("fail", outcome, "todo", str(error))]
    assert not Task.objects.get().is_held
    assert not Event.objects.filter(type=EventType.TASK_UPDATED).exists()


def test_a_refusal_leaves_the_callers_task_as_it_is_stored(task: Task) -> None:
    with pytest.raises(Conflict):
        hold_and_fail(task, actor=ACTOR, error=Conflict("Not now."))
    assert (task.is_held, task.version) == (False, 1)


def test_a_command_sees_the_task_as_it_is_now(task: Task) -> None:
    stale = Task.objects.get()
    move_task(task, TaskStatus.BLOCKED, actor=ACTOR)
    assert hold(stale, actor=ACTOR).status == TaskStatus.BLOCKED


def test_another_version_than_expected_is_a_conflict_that_tells_the_present_one(task: Task) -> None:
    stale = Task.objects.get()
    hold(task, actor=ACTOR)
    with pytest.raises(VersionConflict) as refusal:
        hold(stale, actor=ACTOR, expected_version=1)
    assert refusal.value.data == {"version": 2, "status": "todo"}
    assert [audit[1] for audit in audits()] == ["applied", "conflict"]


def test_a_collision_in_the_database_is_a_conflict(task: Task) -> None:
    with pytest.raises(VersionConflict):
        hold_and_fail(task, actor=ACTOR, error=IntegrityError("twice"))
    assert [audit[:2] for audit in audits()] == [("fail", "conflict")]
    assert not Task.objects.get().is_held


def test_a_command_for_a_deleted_task_is_refused_on_record(task: Task) -> None:
    Task.objects.filter(pk=task.pk).delete()
    with pytest.raises(Gone):
        hold(task, actor=ACTOR)
    assert [audit[:2] for audit in audits()] == [("hold", "refused")]


def test_an_outer_unit_of_work_that_catches_the_refusal_keeps_its_record(task: Task) -> None:
    with events.unit_of_work():
        mark_task(Task.objects.get(), actor=ACTOR, is_held=True)
        with pytest.raises(Conflict):
            hold_and_fail(task, actor=ACTOR, error=Conflict("Not now."))
        # It goes on: what it writes after the refusal is committed together with the record.
        mark_task(Task.objects.get(), actor=ACTOR, is_held=False)
    assert [audit[:2] for audit in audits()] == [("fail", "refused")]
    assert Event.objects.filter(type=EventType.TASK_UPDATED).count() == 2
    assert Task.objects.get().version == 3


def test_an_outer_unit_of_work_that_catches_a_collision_goes_on_too(task: Task) -> None:
    with events.unit_of_work():
        with pytest.raises(VersionConflict):
            collide(task, actor=ACTOR)
        hold(task, actor=ACTOR)
    assert [audit[:2] for audit in audits()] == [("collide", "conflict"), ("hold", "applied")]


@audited("collide")
def collide(task: Task, *, actor: str) -> Task:
    """Break a constraint, so that PostgreSQL refuses the rest of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE orchestration_task SET unmet_dependencies = -1 WHERE id = %s", [task.pk])
    return task


def test_an_outer_unit_of_work_that_fails_takes_the_record_with_it(task: Task) -> None:
    with pytest.raises(Conflict), events.unit_of_work():
        hold_and_fail(task, actor=ACTOR, error=Conflict("Not now."))
    assert audits() == []
