"""What a person commands, on record: one audit event for each command, applied or refused."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec

from events import services as events
from events.states import EventType
from orchestration.exceptions import Conflict, VersionConflict
from orchestration.models import Task

P = ParamSpec("P")


def audited(command: Callable[Concatenate[Task, P], Task]) -> Callable[Concatenate[Task, P], Task]:
    """Give a command its transaction, and record it: applied, refused or in conflict."""
    name = command.__name__.removesuffix("_task")

    @functools.wraps(command)
    def run(task: Task, /, *args: P.args, **kwargs: P.kwargs) -> Task:
        actor = str(kwargs.get("actor", ""))
        try:
            with events.unit_of_work():
                done = command(task, *args, **kwargs)
                _record(done, name, actor, "applied")
        except Conflict as refusal:
            outcome = "conflict" if isinstance(refusal, VersionConflict) else "refused"
            with events.unit_of_work():
                _record(task, name, actor, outcome, str(refusal))
            raise
        return done

    return run


def _record(task: Task, command: str, actor: str, outcome: str, reason: str = "") -> None:
    events.append(
        EventType.TASK_INTERVENTION_AUDIT,
        project_id=task.project_id,
        task_id=task.pk,
        actor=actor,
        command=command,
        outcome=outcome,
        reason=reason,
        status=task.status,
    )
