"""Two edits of one graph at once. On PostgreSQL they interleave as each test says; on SQLite the second waits."""

from __future__ import annotations

from pathlib import Path

import pytest

from events import services as events
from orchestration.exceptions import (
    Archived,
    DependencyCycle,
    InvalidTransition,
    ParentCycle,
    TaskNotOpen,
    VersionConflict,
)
from orchestration.models import Comment, Project, Task, TaskDependency
from orchestration.services.comments import create_comment
from orchestration.services.dependencies import add_dependency, remove_dependency, set_dependencies
from orchestration.services.graphs import TaskDraft, create_graph
from orchestration.services.locks import lock_tasks
from orchestration.services.tasks import move_task, update_task
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_project, make_task, set_status
from orchestration.tests.races import meanwhile, race, result

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo")


def unmet(task: Task) -> int:
    return Task.objects.get(pk=task.pk).unmet_dependencies


def to_merge(project: Project, **fields: object) -> Task:
    """Return a task that the next move makes done."""
    return set_status(make_task(project, **fields), TaskStatus.REVIEW)


def refusals(outcomes: list[object]) -> list[type]:
    return [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)]


@pytest.mark.parametrize("_", range(3))
def test_of_two_edges_that_make_a_cycle_one_is_refused(project: Project, _: int) -> None:
    first, second = make_task(project), make_task(project)
    outcomes = race(
        lambda: add_dependency(first, depends_on=second, actor=ACTOR),
        lambda: add_dependency(second, depends_on=first, actor=ACTOR),
    )
    assert refusals([*outcomes]) == [DependencyCycle]
    assert TaskDependency.objects.count() == 1


def test_a_ring_closed_by_many_at_once_stays_open(project: Project) -> None:
    ring = [make_task(project) for _ in range(5)]
    pairs = zip(ring, ring[1:] + ring[:1], strict=True)
    outcomes = race(
        *(lambda one=one, other=other: set_dependencies(one, depends_on=[other], actor=ACTOR) for one, other in pairs)
    )
    assert refusals([*outcomes]) == [DependencyCycle]


def test_of_two_moves_under_each_other_one_is_refused(project: Project) -> None:
    first, second = make_task(project), make_task(project)
    outcomes = race(
        lambda: update_task(first, actor=ACTOR, parent=second),
        lambda: update_task(second, actor=ACTOR, parent=first),
    )
    assert refusals([*outcomes]) == [ParentCycle]
    assert Task.objects.filter(parent__isnull=False).count() == 1


def test_an_edge_made_while_its_parent_is_finished_waits_for_nothing(project: Project) -> None:
    parent, child = to_merge(project), make_task(project)
    with events.unit_of_work():
        move_task(parent, TaskStatus.DONE, actor=ACTOR)
        other = meanwhile(lambda: add_dependency(child, depends_on=parent, actor=ACTOR))
    assert isinstance(result(other), TaskDependency)
    assert unmet(child) == 0


def test_a_parent_finished_while_an_edge_to_it_is_made_releases_it(project: Project) -> None:
    parent, child = to_merge(project), make_task(project)
    with events.unit_of_work():
        add_dependency(child, depends_on=parent, actor=ACTOR)
        other = meanwhile(lambda: move_task(parent, TaskStatus.DONE, actor=ACTOR))
    assert isinstance(result(other), Task)
    assert unmet(child) == 0


def test_a_parent_finished_while_a_graph_behind_it_is_made_releases_it(project: Project) -> None:
    parent = to_merge(project)
    with events.unit_of_work():
        [child] = create_graph(project, tasks=[TaskDraft(title="Child", depends_on=[parent.pk])], actor=ACTOR)
        other = meanwhile(lambda: move_task(parent, TaskStatus.DONE, actor=ACTOR))
    assert isinstance(result(other), Task)
    assert unmet(child) == 0


def test_an_edge_removed_while_its_parent_is_finished_is_counted_once(project: Project) -> None:
    parent = to_merge(project)
    child = make_task(project, depends_on=[parent, make_task(project)])
    edge = TaskDependency.objects.get(depends_on=parent)
    with events.unit_of_work():
        remove_dependency(edge, actor=ACTOR)
        other = meanwhile(lambda: move_task(parent, TaskStatus.DONE, actor=ACTOR))
    assert isinstance(result(other), Task)
    assert unmet(child) == 1


def test_parents_finished_at_once_are_all_counted(project: Project) -> None:
    # The child has the lowest id: whoever locked a parent first would meet it from the wrong side.
    child = make_task(project)
    parents = [to_merge(project) for _ in range(4)]
    set_dependencies(child, depends_on=parents, actor=ACTOR)
    outcomes = race(*(lambda parent=parent: move_task(parent, TaskStatus.DONE, actor=ACTOR) for parent in parents))
    assert refusals([*outcomes]) == []
    assert unmet(child) == 0


def test_two_who_finish_the_same_parent_release_its_children_once(project: Project) -> None:
    parent = to_merge(project)
    child = make_task(project, depends_on=[parent, make_task(project)])
    first, second = Task.objects.get(pk=parent.pk), Task.objects.get(pk=parent.pk)
    outcomes = race(
        lambda: move_task(first, TaskStatus.DONE, actor=ACTOR), lambda: move_task(second, TaskStatus.DONE, actor=ACTOR)
    )
    assert refusals([*outcomes]) == [InvalidTransition]
    assert unmet(child) == 1


def test_a_parent_is_finished_while_its_child_is_locked_by_somebody_who_wants_the_parent(project: Project) -> None:
    child = make_task(project)
    parent = to_merge(project)
    add_dependency(child, depends_on=parent, actor=ACTOR)
    with events.unit_of_work():
        lock_tasks([child.pk])
        other = meanwhile(lambda: move_task(parent, TaskStatus.DONE, actor=ACTOR))
        # Ids rise: that the other one waits for our child must not keep us from the parent.
        lock_tasks([parent.pk])
    assert isinstance(result(other), Task)


def test_a_task_that_starts_while_it_gains_a_parent_does_one_of_the_two(project: Project) -> None:
    parent, child = make_task(project), make_task(project)
    with events.unit_of_work():
        move_task(child, TaskStatus.RUNNING, actor=ACTOR)
        other = meanwhile(lambda: add_dependency(child, depends_on=parent, actor=ACTOR))
    assert isinstance(result(other), TaskNotOpen)
    assert unmet(child) == 0


def test_a_task_retried_while_it_is_archived_stays_where_it_is(project: Project) -> None:
    task = set_status(make_task(project), TaskStatus.FAILED)
    stale = Task.objects.get(pk=task.pk)
    with events.unit_of_work():
        update_task(task, actor=ACTOR, is_archived=True)
        other = meanwhile(lambda: move_task(stale, TaskStatus.TODO, actor=ACTOR))
    assert isinstance(result(other), Archived)


def test_a_task_archived_while_it_is_retried_is_not_archived(project: Project) -> None:
    task = set_status(make_task(project), TaskStatus.FAILED)
    stale = Task.objects.get(pk=task.pk)
    with events.unit_of_work():
        move_task(task, TaskStatus.TODO, actor=ACTOR)
        other = meanwhile(lambda: update_task(stale, actor=ACTOR, is_archived=True))
    assert isinstance(result(other), VersionConflict)


def test_what_points_to_a_task_is_written_while_it_is_locked(project: Project) -> None:
    # The foreign key is checked before the event log is locked: or the two would wait for each other.
    task = make_task(project)
    with events.unit_of_work():
        lock_tasks([task.pk])
        other = meanwhile(lambda: create_comment(task=task, body="Blue", author=ACTOR, actor=ACTOR))
        update_task(task, actor=ACTOR, title="New")
    assert isinstance(result(other), Comment)
