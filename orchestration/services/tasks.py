"""Tasks: creating, editing, and the one guarded move."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from events import services as events
from events.states import EventType
from orchestration.exceptions import (
    Archived,
    Conflict,
    CrossProject,
    Invalid,
    InvalidTransition,
    ParentCycle,
    TaskOpen,
)
from orchestration.graph import reaches
from orchestration.limits import Limits
from orchestration.models import Project, Task
from orchestration.services.dependencies import (
    lock_families,
    lock_family,
    release_children,
    release_dependents,
    set_dependencies,
)
from orchestration.services.locks import lock_graph
from orchestration.services.rows import checked, refuse_archived, reread, stale, update_row
from orchestration.states import OVER, TaskStatus, sources
from sql.prepared import PreparedUpdate


@events.unit_of_work()
def create_task(project: Project, *, title: str, actor: str, depends_on: Iterable[Task] = (), **fields: Any) -> Task:
    """Create a task, with what it waits for. Raises Invalid, CrossProject, Archived, Gone."""
    refuse_archived(project, field="project")
    parents = list(depends_on)
    if parents or fields.get("parent"):
        lock_graph(project.pk)
    check_values(fields)
    _check_relations(project.pk, fields)
    task = checked(Task(project=project, title=title, **fields))
    task.save(force_insert=True)
    record_created(task, actor=actor)
    if parents:
        set_dependencies(task, depends_on=parents, actor=actor)
        task.refresh_from_db()
    return task


@events.unit_of_work()
def update_task(
    task: Task,
    *,
    actor: str,
    expected_version: int | None = None,
    depends_on: Iterable[Task] | None = None,
    **changes: Any,
) -> Task:
    """Change fields of a task, and what it waits for; its status moves by commands only.

    Raises Invalid, CrossProject, DependencyCycle, ParentCycle, TaskNotOpen, TaskOpen, Archived, Gone, VersionConflict.
    """
    if depends_on is not None or changes.get("parent"):
        # Before the task's own row, as the order of locks has it.
        lock_graph(task.project_id)
    changes = {name: value for name, value in changes.items() if getattr(task, name) != value}
    check_values(changes)
    _check_relations(task.project_id, changes, task_id=task.pk)
    if changes.get("is_archived") and task.status not in OVER:
        raise TaskOpen(f"Task {task.pk} is {task.status}. {TaskOpen.__doc__}", status=task.status)
    stamps = {"updated_at": timezone.now()}
    if fields := update_row(task, expected_version=expected_version, changes=changes, stamps=stamps):
        record_update(task, fields, actor=actor)
    if depends_on is not None:
        read = None if expected_version is None else task.version
        set_dependencies(task, depends_on=depends_on, actor=actor, expected_version=read)
    return task


def record_created(task: Task, *, actor: str) -> None:
    """Record that a task came to be."""
    events.append(
        EventType.TASK_CREATED,
        project_id=task.project_id,
        task_id=task.pk,
        actor=actor,
        id=task.pk,
        version=1,
        title=task.title,
    )


def record_update(task: Task, fields: list[str], *, actor: str) -> None:
    """Record that fields of a task changed."""
    events.append(
        EventType.TASK_UPDATED,
        project_id=task.project_id,
        task_id=task.pk,
        actor=actor,
        id=task.pk,
        version=task.version,
        fields=fields,
    )


@events.unit_of_work()
def move_task(
    task: Task,
    to: TaskStatus,
    *,
    actor: str,
    reason: str = "",
    expected_version: int | None = None,
    trace_id: str | None = None,
    where: Q | None = None,
    **changes: Any,
) -> Task:
    """Move a task to another status, with other fields in the same write.

    The WHERE clause is the lock: of two callers exactly one matches the row. `where` adds to it, and may only ask for
    columns of the task itself. Raises InvalidTransition with the present status, Archived, Gone, VersionConflict.
    """
    before = task.status
    if to == TaskStatus.DONE:
        lock_family(task)
    rows = _movable(task, to, where)
    if expected_version is not None:
        rows = rows.filter(version=expected_version)
    moved = rows.update(version=F("version") + 1, **{**_moved_fields(to, reason), **changes})
    reread(task)
    if not moved:
        raise _refusal(task, to, expected_version)
    _record_move(task, before=before, actor=actor, trace_id=trace_id)
    if to == TaskStatus.DONE:
        release_dependents(task, actor=actor, trace_id=trace_id)
    return task


def move_locked_tasks(
    tasks: Collection[Task],
    to: TaskStatus,
    *,
    actor: str,
    reason: str = "",
    traces: Mapping[int, str] | None = None,
    approved_at: datetime | None = None,
) -> None:
    """Move tasks that were locked and read in this transaction by one UPDATE: all of them or, with InvalidTransition, none.

    `traces` are their trace ids, by task. For those that are done there is `finish_tasks`: it lets others start.
    """
    written = {**_moved_fields(to, reason), "approved_at": approved_at}
    moved = _move([task.pk for task in tasks], reason[:300], written["updated_at"], approved_at, to=to)
    if moved < len(tasks):
        raise InvalidTransition(f"Of {len(tasks)} tasks {len(tasks) - moved} cannot become {to}.")
    for task in tasks:
        before = task.status
        vars(task).update(written, version=task.version + 1)
        _record_move(task, before=before, actor=actor, trace_id=(traces or {}).get(task.pk))


def _locked_move(
    ids: Collection[int], reason: str, now: datetime, approved_at: datetime | None, *, to: TaskStatus
) -> tuple[QuerySet[Task], dict[str, Any]]:
    rows = Task.objects.filter(pk__in=ids, status__in=sources(to), is_archived=False)
    new = {"version": F("version") + 1, "updated_at": now, "approved_at": approved_at}
    return rows, _moved_fields(to, "") | {"status_reason": reason} | new


_move = PreparedUpdate(_locked_move)


def finish_tasks(tasks: Iterable[Task], *, actor: str, reason: str, traces: Mapping[int, str]) -> set[int]:
    """Make approved tasks done, in one go; return the ids of those that were. Runs in the caller's unit of work.

    Each has its own guard: one whose approval is not the one that was read any more is left as it is.
    """
    read = {task.pk: task for task in tasks}
    edges, locked = lock_families(read.values())
    approved = [task for pk, task in locked.items() if pk in read and _is_still_approved(task, read[pk])]
    if approved:
        move_locked_tasks(approved, TaskStatus.DONE, actor=actor, reason=reason, traces=traces)
        release_children(approved, edges, locked, actor=actor)
    return {task.pk for task in approved}


def _is_still_approved(task: Task, read: Task) -> bool:
    return task.status == TaskStatus.REVIEW and task.approved_at is not None and task.approved_at == read.approved_at


def _movable(task: Task, to: TaskStatus, where: Q | None) -> QuerySet[Task]:
    return Task.objects.filter(where or Q(), pk=task.pk, status=task.status, status__in=sources(to), is_archived=False)


def _moved_fields(to: TaskStatus, reason: str) -> dict[str, Any]:
    """Return what a move writes besides the version. What was asked of the old status is answered by leaving it."""
    intents = {"is_held": False, "approved_at": None, "cancel_requested_at": None}
    return {"status": to, "status_reason": reason[:300], "updated_at": timezone.now(), **intents}


@events.unit_of_work()
def mark_task(task: Task, *, actor: str, expected_version: int | None = None, **intent: Any) -> Task:
    """Write an intent (hold, cancel, approval) on a task whose status stays as it is.

    Raises InvalidTransition when the status has moved on meanwhile, Gone, VersionConflict.
    """
    rows = Task.objects.filter(pk=task.pk, status=task.status)
    if expected_version is not None:
        rows = rows.filter(version=expected_version)
    marked = rows.update(version=F("version") + 1, updated_at=timezone.now(), **intent)
    reread(task)
    if not marked:
        raise _refusal(task, None, expected_version)
    record_update(task, sorted(intent), actor=actor)
    return task


def check_values(fields: Mapping[str, Any]) -> None:
    """Refuse JSON from outside that is not what its field promises. Raises Invalid."""
    if not _is_list_of_text(fields.get("checks", [])):
        raise Invalid("checks: a list of shell commands is expected.", field="checks")
    Limits.parse(fields.get("limits", {}))


def _record_move(task: Task, *, before: str, actor: str, trace_id: str | None) -> None:
    events.append(
        EventType.TASK_STATUS_CHANGED,
        project_id=task.project_id,
        task_id=task.pk,
        actor=actor,
        trace_id=trace_id,
        before=before,
        after=task.status,
        version=task.version,
        reason=task.status_reason,
    )


def _refusal(task: Task, to: TaskStatus | None, expected_version: int | None) -> Conflict:
    if expected_version is not None and task.version != expected_version:
        return stale(task)
    if task.is_archived:
        return Archived(f"Task {task.pk} is archived. Take it out of the archive first.", status=task.status)
    aim = f"become {to}" if to else "take this command now"
    return InvalidTransition(f"Task {task.pk} is {task.status}; it cannot {aim}.", status=task.status)


def _check_relations(project_id: int, given: Mapping[str, Any], *, task_id: int | None = None) -> None:
    """Refuse an assignee or a parent that a task cannot have. Runs under the graph's lock where a parent is given."""
    for noun in ("assignee", "parent"):
        related = given.get(noun)
        if related is not None and related.project_id != project_id:
            raise CrossProject(f"The {noun} belongs to another project. Choose one of this project.", field=noun)
    if parent := given.get("parent"):
        refuse_archived(reread(parent), field="parent")
        if task_id is not None and reaches(parent.pk, task_id, _parents_of):
            raise ParentCycle(field="parent")


def _parents_of(ids: set[int]) -> Iterable[int]:
    return Task.objects.filter(pk__in=ids, parent__isnull=False).values_list("parent_id", flat=True)


def _is_list_of_text(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
