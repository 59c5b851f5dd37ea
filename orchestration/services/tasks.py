"""Tasks: creating, editing, and the one guarded move."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import F
from django.utils import timezone

from events import services as events
from events.states import EventType
from orchestration.exceptions import CrossProject, Invalid, InvalidTransition, VersionConflict
from orchestration.limits import Limits
from orchestration.models import Agent, Project, Task
from orchestration.services.dependencies import add_dependency, release_dependents
from orchestration.services.rows import checked, update_row
from orchestration.states import TaskStatus, sources


@events.unit_of_work()
def create_task(project: Project, *, title: str, actor: str, depends_on: Iterable[Task] = (), **fields: Any) -> Task:
    """Create a task, with what it waits for. Raises Invalid, CrossProject, DependencyCycle."""
    task = Task(project=project, title=title, **fields)
    _check_relations(task)
    checked(task).save(force_insert=True)
    events.append(
        EventType.TASK_CREATED,
        project_id=project.pk,
        task_id=task.pk,
        actor=actor,
        id=task.pk,
        version=1,
        title=task.title,
    )
    for parent in depends_on:
        add_dependency(task, depends_on=parent, actor=actor)
    task.refresh_from_db()
    return task


@events.unit_of_work()
def update_task(task: Task, *, actor: str, expected_version: int | None = None, **changes: Any) -> Task:
    """Change fields of a task; its status moves by commands only. Raises Invalid, CrossProject, VersionConflict."""
    draft = Task(pk=task.pk, project=task.project, assignee=task.assignee, parent=task.parent, limits=task.limits)
    for name in {"assignee", "parent", "limits", "checks"} & changes.keys():
        setattr(draft, name, changes[name])
    _check_relations(draft)
    stamps = {"updated_at": timezone.now()}
    if fields := update_row(task, expected_version=expected_version, changes=changes, stamps=stamps):
        record_update(task, fields, actor=actor)
    return task


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
    **changes: Any,
) -> Task:
    """Move a task to another status, with other fields in the same write.

    The WHERE clause is the lock: of two callers exactly one matches the row. Raises InvalidTransition with the
    present status, or VersionConflict.
    """
    before = task.status
    rows = Task.objects.filter(pk=task.pk, status=before, status__in=sources(to))
    if expected_version is not None:
        rows = rows.filter(version=expected_version)
    # What was asked of the old status is answered by leaving it.
    settled: dict[str, Any] = {"approved_at": None, "cancel_requested_at": None, "updated_at": timezone.now()}
    moved = rows.update(status=to, status_reason=reason[:300], version=F("version") + 1, **{**settled, **changes})
    task.refresh_from_db()
    if not moved:
        raise _refusal(task, to, expected_version)
    if to == TaskStatus.DONE:
        release_dependents(task)
    events.append(
        EventType.TASK_STATUS_CHANGED,
        project_id=task.project_id,
        task_id=task.pk,
        actor=actor,
        trace_id=trace_id,
        before=before,
        after=to,
        version=task.version,
        reason=reason[:300],
    )
    return task


@events.unit_of_work()
def mark_task(task: Task, *, actor: str, expected_version: int | None = None, **intent: Any) -> Task:
    """Write an intent (hold, cancel, approval) on a task whose status stays as it is.

    Raises InvalidTransition when the status has moved on meanwhile, or VersionConflict.
    """
    rows = Task.objects.filter(pk=task.pk, status=task.status)
    if expected_version is not None:
        rows = rows.filter(version=expected_version)
    marked = rows.update(version=F("version") + 1, updated_at=timezone.now(), **intent)
    task.refresh_from_db()
    if not marked:
        raise _refusal(task, None, expected_version)
    record_update(task, sorted(intent), actor=actor)
    return task


def _refusal(task: Task, to: TaskStatus | None, expected_version: int | None) -> InvalidTransition | VersionConflict:
    if expected_version is not None and task.version != expected_version:
        return VersionConflict(None, version=task.version, status=task.status)
    aim = f"become {to}" if to else "take this command now"
    return InvalidTransition(f"Task {task.pk} is {task.status}; it cannot {aim}.", status=task.status)


def _check_relations(task: Task) -> None:
    for related in (task.assignee, task.parent):
        if related is not None and related.project_id != task.project_id:
            noun = "agent" if isinstance(related, Agent) else "parent"
            raise CrossProject(f"The {noun} belongs to another project. Choose one of this project.")
    if task.parent is not None and _is_below(task.parent, task):
        raise Invalid("A task cannot be its own parent, directly or through others.", field="parent")
    if not _is_list_of_text(task.checks):
        raise Invalid("checks: a list of shell commands is expected.", field="checks")
    Limits.parse(task.limits)


def _is_list_of_text(value: object) -> bool:
    """Tell whether JSON from outside is what its field promises."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_below(candidate: Task | None, task: Task) -> bool:
    while candidate is not None:
        if candidate.pk == task.pk:
            return True
        candidate = candidate.parent
    return False
