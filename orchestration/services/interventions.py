"""What a person commands, on record: one audit event for each command, applied or refused."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec

import structlog
from django.db import IntegrityError

from events import services as events
from events.states import EventType
from orchestration.exceptions import DomainError, Gone, VersionConflict
from orchestration.models import Task
from orchestration.services.locks import lock_task
from orchestration.services.rows import refuse_archived, reread, stale

P = ParamSpec("P")
Command = Callable[Concatenate[Task, P], Task]

log = structlog.get_logger("bbb.orchestration")


def audited(name: str) -> Callable[[Command[P]], Command[P]]:
    """Give a command its transaction, the task as it is now, locked, and its record: applied, refused or in conflict.

    Whoever changes a task, its active run's place or its items holds that lock, so what the command sees stays true
    until it is done. A refusal is recorded after the command has been undone; within an outer unit of work that is
    kept when its owner catches the refusal inside it. Raises Gone for a deleted task, Archived, and what the command raises.
    """

    def decorate(command: Command[P]) -> Command[P]:
        @functools.wraps(command)
        def run(task: Task, /, *args: P.args, **kwargs: P.kwargs) -> Task:
            actor = str(kwargs.get("actor", ""))
            try:
                with events.unit_of_work():
                    refuse_archived(lock_task(task))
                    done = command(task, *args, **kwargs)
                    _record(done, name, actor, "applied")
            except DomainError as refusal:
                _record_refusal(task, name, actor, refusal)
                raise
            except IntegrityError as error:
                log.exception("command_collided", command=name, task_id=task.pk)
                conflict = stale(reread(task))
                _record_refusal(task, name, actor, conflict)
                raise conflict from error
            return done

        return run

    return decorate


def require_version(task: Task, expected_version: int | None) -> None:
    """Refuse a command that was meant for another version of the task, which is locked. Raises VersionConflict."""
    if expected_version is not None and expected_version != task.version:
        raise stale(task)


def record_applied(task: Task, command: str, *, actor: str) -> None:
    """Record a command that was given by other means, such as the answer to an item. Within its unit of work."""
    _record(task, command, actor, "applied")


@events.unit_of_work()
def _record_refusal(task: Task, command: str, actor: str, refusal: DomainError) -> None:
    with contextlib.suppress(Gone):
        # Without what the command has written to it before it was undone.
        reread(task)
    outcome = "conflict" if isinstance(refusal, VersionConflict) else "refused"
    _record(task, command, actor, outcome, str(refusal))


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
