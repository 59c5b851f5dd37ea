"""Edges of the task graph. `unmet_dependencies` of a task always equals its parents that are not done."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connection
from django.db.models import F

from events import services as events
from events.states import EventType
from orchestration.exceptions import CrossProject, DependencyCycle, TaskNotOpen
from orchestration.graph import reaches
from orchestration.models import Task, TaskDependency
from orchestration.states import TaskStatus

# Which statuses may still gain or lose a parent: the others have begun.
_EDITABLE = {TaskStatus.TODO, TaskStatus.BLOCKED, TaskStatus.FAILED, TaskStatus.CANCELLED}


@events.unit_of_work()
def add_dependency(task: Task, *, depends_on: Task, actor: str) -> TaskDependency:
    """Make `task` wait for `depends_on`; an edge that exists is returned as it is.

    Raises CrossProject, DependencyCycle, TaskNotOpen.
    """
    if task.project_id != depends_on.project_id:
        raise CrossProject("A task can only depend on tasks of its own project.")
    _lock_graph(task.project_id)
    task, depends_on = _locked(task, depends_on)
    if existing := TaskDependency.objects.filter(task=task, depends_on=depends_on).first():
        return existing
    if task.status not in _EDITABLE:
        raise TaskNotOpen(f"The task is {task.status}; it has begun, so what it waits for cannot change.")
    if reaches(depends_on.pk, task.pk, _parents_of):
        raise DependencyCycle(f"Task {depends_on.pk} already waits for task {task.pk}, directly or through others.")
    dependency = TaskDependency.objects.create(task=task, depends_on=depends_on)
    if depends_on.status != TaskStatus.DONE:
        Task.objects.filter(pk=task.pk).update(unmet_dependencies=F("unmet_dependencies") + 1)
    _touched(task, actor=actor)
    return dependency


@events.unit_of_work()
def remove_dependency(dependency: TaskDependency, *, actor: str) -> None:
    """Remove an edge; removing it twice is no error."""
    task, depends_on = _locked(dependency.task, dependency.depends_on)
    deleted, _ = TaskDependency.objects.filter(pk=dependency.pk).delete()
    if deleted and depends_on.status != TaskStatus.DONE:
        Task.objects.filter(pk=task.pk).update(unmet_dependencies=F("unmet_dependencies") - 1)
    if deleted:
        _touched(task, actor=actor)


def release_dependents(task: Task) -> None:
    """Tell the children of a task that is now done. Runs inside the move's transaction."""
    children = (
        Task.objects.select_for_update()
        .filter(dependencies__depends_on=task)
        .order_by("id")
        .values_list("id", flat=True)
    )
    Task.objects.filter(pk__in=list(children)).update(
        unmet_dependencies=F("unmet_dependencies") - 1, version=F("version") + 1
    )


def _touched(task: Task, *, actor: str) -> None:
    Task.objects.filter(pk=task.pk).update(version=F("version") + 1)
    task.refresh_from_db()
    events.append(
        EventType.TASK_UPDATED,
        project_id=task.project_id,
        task_id=task.pk,
        actor=actor,
        id=task.pk,
        version=task.version,
        fields=["dependencies"],
    )


def _lock_graph(project_id: int) -> None:
    """Let one edit of a project's graph look for cycles at a time. SQLite has one writer anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(7788002, %s)", [project_id % 2**31])


def _locked(task: Task, depends_on: Task) -> tuple[Task, Task]:
    """Return both ends fresh, locked in id order: the order every transaction uses."""
    rows = {
        row.pk: row for row in Task.objects.select_for_update().filter(pk__in=[task.pk, depends_on.pk]).order_by("id")
    }
    return rows[task.pk], rows[depends_on.pk]


def _parents_of(ids: set[int]) -> Iterable[int]:
    return TaskDependency.objects.filter(task_id__in=ids).values_list("depends_on_id", flat=True)
