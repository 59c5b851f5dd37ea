from __future__ import annotations

from pathlib import Path

import pytest

from events.models import Event
from events.states import EventType
from orchestration.exceptions import (
    Archived,
    CrossProject,
    DependencyCycle,
    Gone,
    TaskNotOpen,
    VersionConflict,
)
from orchestration.models import Project, Task, TaskDependency
from orchestration.services.dependencies import add_dependency, remove_dependency, set_dependencies
from orchestration.services.tasks import move_task, update_task
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_done, make_project, make_task, set_status

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo")


def unmet(task: Task) -> int:
    task.refresh_from_db()
    return task.unmet_dependencies


def parents(task: Task) -> set[int]:
    return set(task.dependencies.values_list("depends_on_id", flat=True))


def updates(task: Task) -> list[tuple[int, list[str]]]:
    found = Event.objects.filter(type=EventType.TASK_UPDATED, task_id=task.pk)
    return [(event.payload["version"], event.payload["fields"]) for event in found]


def test_a_task_waits_for_each_parent_that_is_not_done(project: Project) -> None:
    done = set_status(make_task(project), TaskStatus.DONE)
    child = make_task(project, depends_on=[done, make_task(project), make_task(project)])
    assert child.unmet_dependencies == 2


def test_done_parent_releases_its_children(project: Project) -> None:
    parent = make_task(project)
    child = make_task(project, depends_on=[parent])
    make_done(parent)
    assert unmet(child) == 0
    assert child in Task.objects.ready()


def test_a_released_child_is_told_of_with_its_version(project: Project) -> None:
    parent = make_task(project)
    child = make_task(project, depends_on=[parent])
    make_done(parent)
    child.refresh_from_db()
    assert updates(child)[-1] == (child.version, ["unmet_dependencies"])


@pytest.mark.parametrize("status", [TaskStatus.CANCELLED, TaskStatus.RUNNING, TaskStatus.BLOCKED])
def test_a_parent_that_is_not_done_keeps_its_children_waiting(project: Project, status: TaskStatus) -> None:
    parent = make_task(project)
    child = make_task(project, depends_on=[parent])
    move_task(parent, status, actor=ACTOR)
    assert unmet(child) == 1


def test_a_parent_whose_work_is_sent_back_keeps_its_children_waiting(project: Project) -> None:
    parent = make_task(project)
    child = make_task(project, depends_on=[parent])
    move_task(set_status(parent, TaskStatus.REVIEW), TaskStatus.TODO, actor=ACTOR)
    assert unmet(child) == 1


def test_the_same_edge_twice_counts_once(project: Project) -> None:
    parent, child = make_task(project), make_task(project)
    first = add_dependency(child, depends_on=parent, actor=ACTOR)
    assert add_dependency(child, depends_on=parent, actor=ACTOR) == first
    assert unmet(child) == 1


def test_removing_an_edge_releases_the_child_once(project: Project) -> None:
    child = make_task(project, depends_on=[make_task(project), make_task(project)])
    edge = TaskDependency.objects.order_by("id")[0]
    remove_dependency(edge, actor=ACTOR)
    remove_dependency(edge, actor=ACTOR)
    assert unmet(child) == 1


def test_a_long_cycle_is_refused_and_changes_nothing(project: Project) -> None:
    first = make_task(project)
    second = make_task(project, depends_on=[first])
    third = make_task(project, depends_on=[second])
    with pytest.raises(DependencyCycle):
        add_dependency(first, depends_on=third, actor=ACTOR)
    assert unmet(first) == 0


def test_a_task_cannot_wait_for_itself(project: Project) -> None:
    task = make_task(project)
    with pytest.raises(DependencyCycle, match="cannot wait for itself"):
        add_dependency(task, depends_on=task, actor=ACTOR)


def test_an_edge_between_projects_is_refused(project: Project, tmp_path: Path) -> None:
    with pytest.raises(CrossProject):
        add_dependency(make_task(project), depends_on=make_task(make_project(tmp_path / "other")), actor=ACTOR)


def test_a_running_task_gains_no_parent(project: Project) -> None:
    task = set_status(make_task(project), TaskStatus.RUNNING)
    with pytest.raises(TaskNotOpen):
        add_dependency(task, depends_on=make_task(project), actor=ACTOR)


def test_an_edge_to_a_task_that_is_gone_is_refused(project: Project) -> None:
    task, parent = make_task(project), make_task(project)
    Task.objects.filter(pk=parent.pk).delete()
    with pytest.raises(Gone):
        add_dependency(task, depends_on=parent, actor=ACTOR)


def test_nothing_new_waits_for_what_is_archived(project: Project) -> None:
    archived = update_task(set_status(make_task(project), TaskStatus.FAILED), actor=ACTOR, is_archived=True)
    with pytest.raises(Archived):
        add_dependency(make_task(project), depends_on=archived, actor=ACTOR)


def test_a_set_of_parents_replaces_the_one_before(project: Project) -> None:
    first, second, third = make_task(project), make_task(project), make_task(project)
    done = set_status(make_task(project), TaskStatus.DONE)
    child = make_task(project, depends_on=[first, second])
    set_dependencies(child, depends_on=[second, third, done], actor=ACTOR)
    assert parents(child) == {second.pk, third.pk, done.pk}
    assert unmet(child) == 2


def test_a_set_of_parents_is_one_change(project: Project) -> None:
    child = make_task(project)
    set_dependencies(child, depends_on=[make_task(project), make_task(project)], actor=ACTOR)
    assert updates(child) == [(2, ["depends_on", "unmet_dependencies"])]


def test_the_same_set_again_is_no_change(project: Project) -> None:
    parent = make_task(project)
    child = make_task(project, depends_on=[parent])
    assert set_dependencies(child, depends_on=[parent, parent], actor=ACTOR).version == child.version


def test_an_empty_set_lets_the_task_go(project: Project) -> None:
    child = make_task(project, depends_on=[make_task(project)])
    set_dependencies(child, depends_on=[], actor=ACTOR)
    assert (parents(child), unmet(child)) == (set(), 0)


def test_a_set_that_closes_a_cycle_changes_nothing(project: Project) -> None:
    other, first = make_task(project), make_task(project)
    child = make_task(project, depends_on=[first])
    with pytest.raises(DependencyCycle) as refusal:
        set_dependencies(first, depends_on=[other, child], actor=ACTOR)
    assert refusal.value.data["field"] == "depends_on"
    assert parents(first) == set()


def test_a_set_may_turn_an_edge_round(project: Project) -> None:
    first = make_task(project)
    second = make_task(project, depends_on=[first])
    set_dependencies(second, depends_on=[], actor=ACTOR)
    set_dependencies(first, depends_on=[second], actor=ACTOR)
    assert (unmet(first), unmet(second)) == (1, 0)


def test_a_set_made_for_another_version_is_refused(project: Project) -> None:
    child = make_task(project)
    update_task(child, actor=ACTOR, title="Newer")
    with pytest.raises(VersionConflict) as refusal:
        set_dependencies(child, depends_on=[], actor=ACTOR, expected_version=1)
    assert refusal.value.data == {"version": 2, "status": "todo"}


def test_fields_and_parents_are_changed_together_or_not_at_all(project: Project) -> None:
    parent, task = make_task(project), make_task(project, title="Old")
    update_task(task, actor=ACTOR, title="New", depends_on=[parent], expected_version=1)
    assert (task.title, parents(task)) == ("New", {parent.pk})
    with pytest.raises(DependencyCycle):
        update_task(parent, actor=ACTOR, title="Newer", depends_on=[task])
    parent.refresh_from_db()
    assert parent.title != "Newer"
