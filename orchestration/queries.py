"""Reads of the task graph: what stands before a task, what behind it, and what keeps it longest."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.db.models import Case, Value, When

from orchestration.graph import longest_path, longest_path_through
from orchestration.models import Project, Task, TaskDependency
from orchestration.states import TaskStatus

_FIELDS = ("title", "status", "priority", "is_held", "unmet_dependencies", "parent_id")


@dataclass(frozen=True, kw_only=True)
class Node:
    """A task in a graph."""

    id: int
    key: str
    title: str
    status: str
    priority: int
    is_held: bool
    unmet_dependencies: int
    parent: int | None
    distance: int | None = None
    """Over how many edges it is reached; None in the graph of a project."""


@dataclass(frozen=True)
class Edge:
    """`task` starts only when `depends_on` is done."""

    task: int
    depends_on: int


@dataclass(frozen=True, kw_only=True)
class TaskGraph:
    """A task with what it waits for (`up`) and what waits for it (`down`), directly or through others, nearest first."""

    task: int
    up: list[Node]
    down: list[Node]
    edges: list[Edge]
    critical_path: list[int]
    """The longest chain of tasks not done yet that runs through the task, the first to do first."""
    is_truncated: bool


@dataclass(frozen=True, kw_only=True)
class ProjectGraph:
    """The tasks of a project that are not archived, by id, and what they wait for."""

    project: int
    nodes: list[Node]
    edges: list[Edge]
    critical_path: list[int]
    """The longest chain of tasks not done yet, the first to do first."""
    is_truncated: bool


def task_graph(task: Task, *, limit: int = 500) -> TaskGraph:
    """Return what a task waits for and what waits for it: at most `limit` tasks, nearest first. Two queries a level."""
    up, down = _Side("task", "depends_on", task), _Side("depends_on", "task", task)
    while up.front or down.front:
        for side in (up, down):
            side.advance(limit - len(up.distances) - len(down.distances))
    ids = {task.pk, *up.distances, *down.distances}
    tasks = Task.objects.only(*_FIELDS).in_bulk(ids)
    edges = _edges_between(tasks)
    return TaskGraph(
        task=task.pk,
        up=_nodes(up, tasks),
        down=_nodes(down, tasks),
        edges=edges,
        critical_path=longest_path_through(task.pk, _open(tasks.values()), _pairs(edges)),
        is_truncated=up.is_truncated or down.is_truncated,
    )


def project_graph(project: Project, *, limit: int = 5000) -> ProjectGraph:
    """Return the graph of a project: at most `limit` tasks, those not done before those done. Two queries."""
    is_done = Case(When(status=TaskStatus.DONE, then=Value(1)), default=Value(0))
    chosen = Task.objects.filter(project=project, is_archived=False).order_by(is_done, "id")
    found = list(chosen.only(*_FIELDS)[: limit + 1])
    tasks = {task.pk: task for task in sorted(found[:limit], key=lambda task: task.pk)}
    edges = _edges_between(tasks)
    return ProjectGraph(
        project=project.pk,
        nodes=[_node(task) for task in tasks.values()],
        edges=edges,
        critical_path=longest_path(_open(tasks.values()), _pairs(edges)),
        is_truncated=len(found) > limit,
    )


class _Side:
    """One side of a task: what is reached over edges from the column `here` to the column `there`, level by level."""

    def __init__(self, here: str, there: str, task: Task) -> None:
        self._here, self._there = f"{here}__in", f"{there}_id"
        self.front = {task.pk}
        self.distances: dict[int, int] = {}
        self.is_truncated = False
        self._seen = {task.pk}
        self._level = 0

    def advance(self, room: int) -> None:
        """Go one level on, as far as there is room for so many more tasks."""
        if not self.front:
            return
        self._level += 1
        edges = TaskDependency.objects.filter(**{self._here: self.front}).exclude(**{f"{self._there}__in": self._seen})
        found = list(edges.order_by(self._there).values_list(self._there, flat=True).distinct()[: room + 1])
        self.is_truncated = len(found) > room
        self.front = set() if self.is_truncated else set(found)
        self._seen |= self.front
        self.distances |= dict.fromkeys(found[:room], self._level)


def _nodes(side: _Side, tasks: dict[int, Task]) -> list[Node]:
    # A task that was deleted between the queries is no more.
    return [_node(tasks[id_], distance) for id_, distance in side.distances.items() if id_ in tasks]


def _node(task: Task, distance: int | None = None) -> Node:
    return Node(
        id=task.pk,
        key=task.key,
        title=task.title,
        status=task.status,
        priority=task.priority,
        is_held=task.is_held,
        unmet_dependencies=task.unmet_dependencies,
        parent=task.parent_id,
        distance=distance,
    )


def _edges_between(tasks: Collection[int]) -> list[Edge]:
    # Asked for both ends, SQLite would look up every pair of them.
    rows = TaskDependency.objects.filter(task__in=tasks).order_by("task_id", "depends_on_id")
    pairs = rows.values_list("task_id", "depends_on_id")
    return [Edge(task, parent) for task, parent in pairs if parent in tasks]


def _pairs(edges: Iterable[Edge]) -> list[tuple[int, int]]:
    return [(edge.task, edge.depends_on) for edge in edges]


def _open(tasks: Iterable[Task]) -> list[int]:
    return [task.pk for task in tasks if task.status != TaskStatus.DONE]
