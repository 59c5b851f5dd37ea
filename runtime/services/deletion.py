"""Delete what nothing needs. What runs or other rows need is refused, and says so: it can be archived instead.

This stands here because runs are known here. A row is locked before it is asked who needs it, so nobody comes to need
it in between; `PROTECT` on the runs would stop what slips through all the same.
"""

from __future__ import annotations

from contextlib import suppress

from django.db.models import F, QuerySet
from django.utils import timezone

from events import services as events
from events.states import EventType
from inbox import services as inbox
from orchestration.exceptions import Gone, InUse
from orchestration.models import Agent, Project, Task
from orchestration.services.comments import delete_comment
from orchestration.services.documents import delete_document
from orchestration.services.locks import lock_graph, lock_tasks
from orchestration.services.rows import locked
from orchestration.services.tasks import record_update
from orchestration.states import OVER, TaskStatus
from runtime import slots
from runtime.models import Slot, TaskRun

# So many of the rows that need it are named.
_NAMED = 20


@events.unit_of_work()
def delete_task(task: Task, *, actor: str, expected_version: int | None = None) -> None:
    """Delete a task with its comments, its items and what it waits for; one that is gone already is no error.

    Raises InUse when it has runs, subtasks or tasks that wait for it; VersionConflict.
    """
    lock_graph(task.project_id)
    with suppress(Gone):
        present = locked(task, expected_version=expected_version, to_delete=True)
        _refuse_task_in_use(present)
        # Their rows go with the task's; whoever has them on a screen is told.
        inbox.close_obsolete(present, actor=actor)
        for comment in present.comments.select_related("task"):
            delete_comment(comment, actor=actor)
        present.delete()
        events.append(EventType.TASK_DELETED, project_id=task.project_id, task_id=task.pk, actor=actor, id=task.pk)


@events.unit_of_work()
def delete_agent(agent: Agent, *, actor: str, expected_version: int | None = None) -> None:
    """Delete an agent, and take it off the tasks that are over; one that is gone already is no error.

    Raises InUse when it has runs, or tasks that are not over; VersionConflict.
    """
    key = slots.agent_key(agent.pk)
    slots.lock({key: agent.max_parallel_runs})
    tasks = lock_tasks(agent.tasks.values_list("pk", flat=True))
    with suppress(Gone):
        present = locked(agent, expected_version=expected_version, to_delete=True)
        # One that was assigned since we locked the others counts as open.
        over = [task for task in present.tasks.order_by("id") if task.pk in tasks and task.status in OVER]
        open_tasks = present.tasks.exclude(pk__in=[task.pk for task in over])
        _refuse(f"Agent {agent.pk}", runs=present.runs.count(), tasks=open_tasks.count())
        _unassign(over, actor=actor)
        present.delete()
        events.append(EventType.AGENT_DELETED, project_id=agent.project_id, agent_id=agent.pk, actor=actor, id=agent.pk)
    Slot.objects.filter(key=key).delete()


@events.unit_of_work()
def delete_project(project: Project, *, actor: str, expected_version: int | None = None) -> None:
    """Delete a project with its agents and documents; one that is gone already is no error. The repository stays.

    Raises InUse when it has tasks; VersionConflict.
    """
    with suppress(Gone):
        present = locked(project, expected_version=expected_version, to_delete=True)
        runs = TaskRun.objects.filter(task__project=present).count()
        _refuse(f"Project {project.pk}", tasks=present.tasks.count(), runs=runs)
        for document in present.documents.all():
            delete_document(document, actor=actor)
        for agent in present.agents.all():
            delete_agent(agent, actor=actor)
        present.delete()
        events.append(EventType.PROJECT_DELETED, project_id=project.pk, actor=actor, id=project.pk)
    Slot.objects.filter(key=slots.project_key(project.pk)).delete()


def _refuse_task_in_use(task: Task) -> None:
    _refuse(
        f"Task {task.pk}",
        runs=task.runs.count(),
        dependents=_ids(Task.objects.filter(dependencies__depends_on=task)),
        subtasks=_ids(Task.objects.filter(parent=task)),
        status=task.status if task.status == TaskStatus.RUNNING else "",
        advice="Archive it instead." if task.status in OVER else "Cancel it, then archive it instead.",
    )


def _refuse(name: str, *, advice: str = "Archive it instead.", **needs: int | str | list[int]) -> None:
    """Raise InUse, with all that needs the row, if anything does."""
    found = {what: need for what, need in needs.items() if need}
    if found:
        reasons = " and ".join(_REASONS[what].format(_counted(need)) for what, need in found.items())
        raise InUse(f"{name} {reasons}. {advice}", **found)


def _counted(need: int | str | list[int]) -> int | str:
    """Return how many there are, as far as they are named."""
    if isinstance(need, list):
        return len(need) if len(need) < _NAMED else f"{_NAMED} or more"
    return need


_REASONS = {
    "runs": "has runs ({})",
    "dependents": "is waited for by other tasks ({})",
    "subtasks": "has subtasks ({})",
    "tasks": "has tasks ({})",
    "status": "is {}",
}


def _ids(tasks: QuerySet[Task]) -> list[int]:
    return list(tasks.order_by("pk").values_list("pk", flat=True)[:_NAMED])


def _unassign(tasks: list[Task], *, actor: str) -> None:
    for task in tasks:
        changes = {"assignee": None, "updated_at": timezone.now(), "version": F("version") + 1}
        Task.objects.filter(pk=task.pk).update(**changes)
        task.refresh_from_db()
        record_update(task, ["assignee"], actor=actor)
