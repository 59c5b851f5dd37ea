"""Resume: an interrupted run goes on with the next epoch, in its session and worktree."""

from __future__ import annotations

from events import services as events
from orchestration.services.tasks import move_task
from orchestration.states import TaskStatus
from runtime.models import TaskRun
from runtime.services.moves import move_run
from runtime.states import RunStatus

CONTINUE = "Go on where you stopped."


@events.unit_of_work()
def resume_run(run: TaskRun, *, prompt: str, actor: str, reason: str) -> TaskRun:
    """Queue an interrupted run again; `prompt` is what its agent is told. The task is running again.

    Raises InvalidTransition when the run or its task has moved on.
    """
    if run.task.status == TaskStatus.BLOCKED:
        move_task(run.task, TaskStatus.TODO, actor=actor, reason=reason, trace_id=run.trace_id)
        move_task(run.task, TaskStatus.RUNNING, actor=actor, reason=reason, trace_id=run.trace_id)
    return move_run(run, RunStatus.QUEUED, actor=actor, reason=reason, prompt=prompt)
