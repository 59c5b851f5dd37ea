"""Many tasks at once, with what they wait for: all of them or none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from events import services as events
from orchestration.exceptions import (
    CrossProject,
    DependencyCycle,
    DomainError,
    DuplicateRef,
    ParentCycle,
    TooManyTasks,
    UnknownRef,
)
from orchestration.graph import find_cycle
from orchestration.models import Agent, Project, Task, TaskDependency
from orchestration.services.locks import lock_graph
from orchestration.services.rows import checked, refuse_archived
from orchestration.services.tasks import check_values, record_created
from orchestration.states import TaskStatus
from sql.inserts import insert_all

MAX_TASKS = 5000
_MAX_ID = 2**63 - 1
# Each of them would be looked up once a task; what they refer to is checked here.
_RELATIONS = {"project", "assignee", "parent"}


@dataclass(frozen=True, kw_only=True)
class TaskDraft:
    """A task to be. What it refers to is the `ref` of another draft, or the id of a task that exists."""

    title: str
    ref: str = ""
    depends_on: Sequence[str | int] = ()
    parent: str | int | None = None
    assignee: int | None = None
    """The id of an agent of the project."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """The other fields of a task."""


@dataclass(frozen=True)
class _Links:
    """What one draft refers to: other drafts by their place, tasks that exist as they are."""

    drafts: set[int]
    tasks: dict[int, Task]
    parent: int | Task | None

    @property
    def unmet(self) -> int:
        return len(self.drafts) + sum(task.status != TaskStatus.DONE for task in self.tasks.values())


@events.unit_of_work()
def create_graph(project: Project, *, tasks: Sequence[TaskDraft], actor: str) -> list[Task]:
    """Create tasks with their edges and parents, and return them in the order of the drafts.

    Every refusal names its place in `field`, such as `tasks.3.depends_on.0`, and nothing is created then. Raises
    Invalid, TooManyTasks, DuplicateRef, UnknownRef, CrossProject, DependencyCycle, ParentCycle, Archived.
    """
    refuse_archived(project, field="project")
    if len(tasks) > MAX_TASKS:
        raise TooManyTasks(f"{len(tasks)} tasks are too many for one request; send at most {MAX_TASKS}.", field="tasks")
    # Nobody finishes or deletes what the new tasks refer to, until they are there.
    lock_graph(project.pk)
    links = _linked(project, tasks)
    made = _built(project, tasks, links)
    insert_all(Task, made)
    _attach(made, links)
    for task in made:
        record_created(task, actor=actor)
    return made


def _linked(project: Project, drafts: Sequence[TaskDraft]) -> list[_Links]:
    """Return what each draft refers to. Raises what create_graph raises for refs, ids and cycles."""
    names = _Names(project, drafts)
    links = [names.links(place, draft) for place, draft in enumerate(drafts)]
    if cycle := find_cycle({place: link.drafts for place, link in enumerate(links)}):
        position = _position(names, drafts[cycle[0]], (cycle * 2)[1])
        raise DependencyCycle(
            f"These tasks wait for each other: {_spelled(drafts, cycle)}.",
            field=f"tasks.{cycle[0]}.depends_on.{position}",
        )
    parents = {place: [link.parent] if isinstance(link.parent, int) else [] for place, link in enumerate(links)}
    if cycle := find_cycle(parents):
        raise ParentCycle(
            f"A task cannot be its own parent: {_spelled(drafts, cycle)}.", field=f"tasks.{cycle[0]}.parent"
        )
    return links


class _Names:
    """Finds what drafts refer to."""

    def __init__(self, project: Project, drafts: Sequence[TaskDraft]) -> None:
        self.places: dict[str, int] = {}
        for place, draft in enumerate(drafts):
            if draft.ref and self.places.setdefault(draft.ref, place) != place:
                raise DuplicateRef(
                    f"The ref {draft.ref!r} is used twice. Give each task its own.", field=f"tasks.{place}.ref"
                )
        named = {name for draft in drafts for name in [*draft.depends_on, draft.parent] if isinstance(name, int)}
        ids = [id_ for id_ in named if 0 < id_ <= _MAX_ID]
        self.tasks = Task.objects.filter(project=project).in_bulk(ids)

    def links(self, place: int, draft: TaskDraft) -> _Links:
        found = []
        for position, name in enumerate(draft.depends_on):
            with _within(f"tasks.{place}.depends_on.{position}"):
                found.append(self.find(name))
        with _within(f"tasks.{place}.parent"):
            parent = None if draft.parent is None else self.find(draft.parent)
        return _Links(
            drafts={item for item in found if isinstance(item, int)},
            tasks={item.pk: item for item in found if isinstance(item, Task)},
            parent=parent,
        )

    def find(self, name: str | int) -> int | Task:
        """Return the place of a draft or the task that is meant. Raises UnknownRef, CrossProject, Archived."""
        if isinstance(name, str):
            if name not in self.places:
                raise UnknownRef(f"No task of the request has the ref {name!r}.")
            return self.places[name]
        if name not in self.tasks:
            raise CrossProject(f"There is no task {name} in this project. Name one of its tasks, or a ref.")
        refuse_archived(self.tasks[name])
        return self.tasks[name]


def _built(project: Project, drafts: Sequence[TaskDraft], links: Sequence[_Links]) -> list[Task]:
    """Return the tasks, checked and not yet written. Raises Invalid, CrossProject."""
    agents = Agent.objects.filter(project=project).in_bulk()
    made = []
    for place, (draft, link) in enumerate(zip(drafts, links, strict=True)):
        with _within(f"tasks.{place}"):
            if draft.assignee is not None and draft.assignee not in agents:
                raise CrossProject(f"There is no agent {draft.assignee} in this project.", field="assignee")
            check_values(draft.fields)
            task = Task(project=project, title=draft.title, **draft.fields)
            task.assignee_id = draft.assignee
            task.unmet_dependencies = link.unmet
            made.append(checked(task, exclude=_RELATIONS))
    return made


def _attach(made: Sequence[Task], links: Sequence[_Links]) -> None:
    """Write the edges and the parents of tasks that have their ids by now."""
    edges = [
        TaskDependency(task=task, depends_on=parent)
        for task, link in zip(made, links, strict=True)
        for parent in [*link.tasks.values(), *(made[place] for place in sorted(link.drafts))]
    ]
    insert_all(TaskDependency, edges)
    below: dict[int, list[int]] = {}
    for task, link in zip(made, links, strict=True):
        if link.parent is not None:
            task.parent = made[link.parent] if isinstance(link.parent, int) else link.parent
            below.setdefault(task.parent.pk, []).append(task.pk)
    # A parent may stand behind its subtasks, so it has its id only now.
    for parent_id, ids in below.items():
        Task.objects.filter(pk__in=ids).update(parent_id=parent_id)


def _position(names: _Names, draft: TaskDraft, place: int) -> int:
    """Return which item of `depends_on` means the draft at `place`."""
    return next(
        position
        for position, name in enumerate(draft.depends_on)
        if isinstance(name, str) and names.places[name] == place
    )


def _spelled(drafts: Sequence[TaskDraft], cycle: Sequence[int]) -> str:
    """Return a cycle in words, not longer than a person reads."""
    shown = [drafts[place].ref for place in cycle[:10]]
    return " → ".join([*shown, "…"] if len(cycle) > len(shown) else [*shown, shown[0]])


@contextmanager
def _within(place: str) -> Iterator[None]:
    """Say of a refusal where in the request it happened."""
    try:
        yield
    except DomainError as refusal:
        inner = refusal.data.get("field")
        refusal.data["field"] = f"{place}.{inner}" if inner else place
        raise
