from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.exceptions import CrossProject, DependencyCycle, TaskNotOpen
from orchestration.models import Project, Task, TaskDependency
from orchestration.services.dependencies import add_dependency, remove_dependency
from orchestration.services.tasks import move_task
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_project, make_task, set_status

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo")


def unmet(task: Task) -> int:
    task.refresh_from_db()
    return task.unmet_dependencies


def test_a_task_waits_for_each_parent_that_is_not_done(project: Project) -> None:
    done = set_status(make_task(project), TaskStatus.DONE)
    child = make_task(project, depends_on=[done, make_task(project), make_task(project)])
    assert child.unmet_dependencies == 2


def test_done_parent_releases_its_children(project: Project) -> None:
    parent = make_task(project)
    child = make_task(project, depends_on=[parent])
    move_task(set_status(parent, TaskStatus.REVIEW), TaskStatus.DONE, actor=ACTOR)
    assert unmet(child) == 0
    assert child in Task.objects.ready()


def test_cancelled_parent_keeps_its_children_waiting(project: Project) -> None:
    parent = make_task(project)
    child = make_task(project, depends_on=[parent])
    move_task(parent, TaskStatus.CANCELLED, actor=ACTOR)
    assert unmet(child) == 1


def test_the_same_edge_twice_counts_once(project: Project) -> None:
    parent, child = make_task(project), make_task(project)
    first = add_dependency(child, depends_on=parent, actor=ACTOR)
    assert add_dependency(child, depends_on=parent, actor=ACTOR) == first
    assert unmet(child) == 1


def test_removing_an_edge_releases_the_child(project: Project) -> None:
    child = make_task(project, depends_on=[make_task(project)])
    remove_dependency(TaskDependency.objects.get(), actor=ACTOR)
    assert unmet(child) == 0


def test_a_long_cycle_is_refused_and_changes_nothing(project: Project) -> None:
    first = make_task(project)
    second = make_task(project, depends_on=[first])
    third = make_task(project, depends_on=[second])
    with pytest.raises(DependencyCycle):
        add_dependency(first, depends_on=third, actor=ACTOR)
    assert unmet(first) == 0


def test_a_task_cannot_wait_for_itself(project: Project) -> None:
    task = make_task(project)
    with pytest.raises(DependencyCycle):
        add_dependency(task, depends_on=task, actor=ACTOR)


def test_an_edge_between_projects_is_refused(project: Project, tmp_path: Path) -> None:
    with pytest.raises(CrossProject):
        add_dependency(make_task(project), depends_on=make_task(make_project(tmp_path / "other")), actor=ACTOR)


def test_a_running_task_gains_no_parent(project: Project) -> None:
    task = set_status(make_task(project), TaskStatus.RUNNING)
    with pytest.raises(TaskNotOpen):
        add_dependency(task, depends_on=make_task(project), actor=ACTOR)
