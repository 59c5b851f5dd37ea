"""Resume: an interrupted run goes on with the next epoch, in its session and worktree."""

from __future__ import annotations

from django.db.models import Q

from events import services as events
from orchestration.models import Task
from orchestration.services.tasks import move_task
from orchestration.states import TaskStatus
from runtime.exceptions import DependenciesUnmet
from runtime.models import TaskRun
from runtime.services.moves import move_run
from runtime.states import RunStatus

CONTINUE = "Go on where you stopped."


@events.unit_of_work()
def resume_run(run: TaskRun, *, prompt: str, actor: str, reason: str) -> TaskRun:
    """Queue an interrupted run again; `prompt` is what its agent is told. The task is running again.

    Raises InvalidTransition when the run or its task has moved on, DependenciesUnmet when the task was given something
    to wait for while it was blocked.
    """
    task = run.task
    if task.status == TaskStatus.BLOCKED:
        refuse_unmet(task)
        ready = Q(unmet_dependencies=0)
        move_task(task, TaskStatus.TODO, actor=actor, reason=reason, trace_id=run.trace_id, where=ready)
        move_task(task, TaskStatus.RUNNING, actor=actor, reason=reason, trace_id=run.trace_id)
    return move_run(run, RunStatus.QUEUED, actor=actor, reason=reason, prompt=prompt)


def refuse_unmet(task: Task) -> None:
    """Raise DependenciesUnmet, naming what the task waits for, when there is anything."""
    if not task.unmet_dependencies:
        return
    parents = task.dependencies.exclude(depends_on__status=TaskStatus.DONE).order_by("depends_on_id")
    unmet = list(parents.values_list("depends_on_id", flat=True))
    names = ", ".join(str(id_) for id_ in unmet[:5]) + (" and others" if len(unmet) > 5 else "")
    message = f"Task {task.pk} waits for tasks that are not done: {names}. Finish them, or remove the dependencies."
    raise DependenciesUnmet(message, unmet=unmet, status=task.status)
