"""Edges of the task graph. `unmet_dependencies` of a task always equals its parents that are not done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db.models import F, QuerySet
from django.utils import timezone

from events import services as events
from events.states import EventType
from orchestration.exceptions import CrossProject, DependencyCycle, Gone, TaskNotOpen
from orchestration.graph import reaches
from orchestration.models import Task, TaskDependency
from orchestration.services.locks import lock_graph, lock_tasks
from orchestration.services.rows import locked, refuse_archived
from orchestration.states import TaskStatus
from sql.prepared import PreparedQuery, PreparedUpdate

_edges_below = PreparedQuery(
    lambda parents: TaskDependency.objects.filter(depends_on__in=parents).values_list("depends_on_id", "task_id")
)

# Which statuses may still gain a parent: the others have begun.
_EDITABLE = {TaskStatus.TODO, TaskStatus.BLOCKED, TaskStatus.FAILED, TaskStatus.CANCELLED}


@events.unit_of_work()
def add_dependency(task: Task, *, depends_on: Task, actor: str) -> TaskDependency:
    """Make `task` wait for `depends_on`; an edge that exists is returned as it is.

    Raises CrossProject, DependencyCycle, TaskNotOpen, Archived, Gone.
    """
    lock_graph(task.project_id)
    _replace(task, _parents_of({task.pk}) | {depends_on.pk}, actor=actor, given=[depends_on])
    return TaskDependency.objects.get(task=task, depends_on=depends_on)


@events.unit_of_work()
def set_dependencies(
    task: Task, *, depends_on: Iterable[Task], actor: str, expected_version: int | None = None
) -> Task:
    """Make a task wait for exactly these. Raises what add_dependency raises, and VersionConflict."""
    lock_graph(task.project_id)
    locked(task, expected_version=expected_version)
    given = list(depends_on)
    _replace(task, {parent.pk for parent in given}, actor=actor, given=given)
    return task


@events.unit_of_work()
def remove_dependency(dependency: TaskDependency, *, actor: str) -> None:
    """Remove an edge; removing it twice is no error."""
    task = Task.objects.filter(pk=dependency.task_id).first()
    if task is None:
        return
    lock_graph(task.project_id)
    if TaskDependency.objects.filter(pk=dependency.pk).exists():
        _replace(task, _parents_of({task.pk}) - {dependency.depends_on_id}, actor=actor)


def lock_family(task: Task) -> None:
    """Lock a task that is about to be done, and those that wait for it. Runs inside the move's transaction."""
    lock_graph(task.project_id)
    lock_tasks([task.pk, *task.dependents.values_list("task_id", flat=True)])


def release_dependents(task: Task, *, actor: str, trace_id: str | None = None) -> None:
    """Tell the children of a task that is now done. Runs inside the move's transaction, under `lock_family`."""
    children = Task.objects.filter(pk__in=task.dependents.values("task_id"))
    children.update(unmet_dependencies=F("unmet_dependencies") - 1, version=F("version") + 1, updated_at=timezone.now())
    for child in children.only("project_id", "version").order_by("id"):
        _record(child, ["unmet_dependencies"], actor=actor, trace_id=trace_id)


def lock_families(tasks: Iterable[Task]) -> tuple[list[tuple[int, int]], dict[int, Task]]:
    """Lock tasks that are about to be done, and those that wait for them.

    Return who waits for whom (the parent comes first), and all of them as they are now.
    """
    parents = list(tasks)
    for project_id in sorted({task.project_id for task in parents}):
        lock_graph(project_id)
    edges = _edges_below([task.pk for task in parents])
    return edges, lock_tasks({task.pk for task in parents} | {child for _, child in edges})


def _waiting_for_fewer(ids: Collection[int], count: int, now: datetime) -> tuple[QuerySet[Task], dict[str, Any]]:
    fewer = {"unmet_dependencies": F("unmet_dependencies") - count, "version": F("version") + 1, "updated_at": now}
    return Task.objects.filter(pk__in=ids), fewer


_wait_for_fewer = PreparedUpdate(_waiting_for_fewer)


def release_children(
    done: Iterable[Task], edges: Iterable[tuple[int, int]], locked: Mapping[int, Task], *, actor: str
) -> None:
    """Tell the children of tasks that are now done, each once. Runs under `lock_families`, which gave the rest."""
    parents = {task.pk for task in done}
    fewer = Counter(child for parent, child in edges if parent in parents)
    for count in sorted(set(fewer.values())):
        _wait_for_fewer([child for child in fewer if fewer[child] == count], count, timezone.now())
    for child in sorted(fewer):
        locked[child].version += 1
        _record(locked[child], ["unmet_dependencies"], actor=actor)


def _replace(task: Task, wanted: set[int], *, actor: str, given: Iterable[Task] = ()) -> None:
    """Make `wanted` the parents of a task, and count them anew. `given` are those that may be new.

    Runs under the graph's lock: nobody else makes an edge or finishes a parent meanwhile. The task's own row is locked
    against those who want to start it.
    """
    if any(parent.project_id != task.project_id for parent in given):
        raise CrossProject("A task can only depend on tasks of its own project.", field="depends_on")
    present = _parents_of({task.pk})
    if wanted == present:
        return
    _refuse_unfit(locked(task), wanted - present)
    TaskDependency.objects.filter(task=task).exclude(depends_on_id__in=wanted).delete()
    TaskDependency.objects.bulk_create(
        [TaskDependency(task=task, depends_on_id=parent) for parent in sorted(wanted - present)]
    )
    unmet = Task.objects.filter(pk__in=wanted).exclude(status=TaskStatus.DONE).count()
    Task.objects.filter(pk=task.pk).update(
        unmet_dependencies=unmet, version=F("version") + 1, updated_at=timezone.now()
    )
    task.refresh_from_db()
    _record(task, ["depends_on", "unmet_dependencies"], actor=actor)


def _refuse_unfit(task: Task, added: set[int]) -> None:
    """Refuse new parents that the task, as it is now, cannot have."""
    if not added:
        return
    refuse_archived(task)
    if task.status not in _EDITABLE:
        raise TaskNotOpen(f"The task is {task.status}; it has begun, so what it waits for cannot change.")
    parents = {parent.pk: parent for parent in Task.objects.filter(pk__in=added)}
    for parent_id in sorted(added):
        if parent_id not in parents:
            raise Gone(f"Task {parent_id} was deleted meanwhile. Leave it out.", field="depends_on")
        refuse_archived(parents[parent_id], field="depends_on")
        if parent_id == task.pk:
            raise DependencyCycle("A task cannot wait for itself. Leave it out.", field="depends_on")
        if reaches(parent_id, task.pk, _parents_of):
            raise DependencyCycle(
                f"Task {parent_id} already waits for task {task.pk}, directly or through others.", field="depends_on"
            )


def _record(task: Task, fields: list[str], *, actor: str, trace_id: str | None = None) -> None:
    events.append(
        EventType.TASK_UPDATED,
        project_id=task.project_id,
        task_id=task.pk,
        actor=actor,
        trace_id=trace_id,
        id=task.pk,
        version=task.version,
        fields=fields,
    )


def _parents_of(ids: set[int]) -> set[int]:
    return set(TaskDependency.objects.filter(task_id__in=ids).values_list("depends_on_id", flat=True))
