"""Broadcast: one command to many tasks. Each has its own transaction, so that one refusal does not spoil the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import structlog
from django.db import DatabaseError
from django.db.models import Q, QuerySet

from inbox.exceptions import UserInputRequired
from inbox.services import approve_task, request_changes
from orchestration.exceptions import DomainError, Invalid, VersionConflict
from orchestration.models import Agent, Project, Task
from orchestration.services.locks import give_way
from orchestration.states import TaskStatus
from runtime.exceptions import NothingSelected, TooMany
from runtime.models import TaskRun
from runtime.services.commands import cancel_task, pause_task, resume_task, retry_task
from runtime.services.running import run_task

log = structlog.get_logger("bbb.runtime")

Verdict = Literal["applied", "refused", "conflict"]

MAX_TASKS = 1000
COMMANDS: dict[str, Callable[..., Task]] = {
    "run": run_task,
    "pause": pause_task,
    "resume": resume_task,
    "retry": retry_task,
    "cancel": cancel_task,
    "approve": approve_task,
    "request-changes": request_changes,
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of the command for one task, and how that task is now (None: there is no such task)."""

    task: int
    outcome: Verdict
    code: str | None = None
    detail: str = ""
    status: str | None = None
    version: int | None = None


@dataclass(frozen=True, kw_only=True)
class Broadcast:
    """The outcomes of one command, by task id."""

    command: str
    results: list[Outcome]

    @property
    def applied(self) -> int:
        return self._counted["applied"]

    @property
    def refused(self) -> int:
        return self._counted["refused"]

    @property
    def conflicts(self) -> int:
        return self._counted["conflict"]

    @property
    def _counted(self) -> Counter[str]:
        return Counter(result.outcome for result in self.results)


def broadcast(
    command: str,
    *,
    actor: str,
    ids: Collection[int] | None = None,
    statuses: Collection[str] | None = None,
    agent: Agent | None = None,
    project: Project | None = None,
    expected_versions: Mapping[int, int] | None = None,
    changes: str = "",
    among: QuerySet[Task] | None = None,
) -> Broadcast:
    """Give a command to every task that all selectors given agree on, in the order of their ids.

    `agent` selects what is assigned to it or what a run of it is under way for; `among` are the tasks the caller may
    see. Every id given is answered: `not_found` when it is not among them, `not_selected` when another selector leaves
    it out. Raises NothingSelected, UserInputRequired and TooMany for the call as a whole, before anything is done.
    """
    perform = _performer(command, changes)
    if all(selector is None for selector in (ids, statuses, agent, project)):
        raise NothingSelected(field="ids")
    visible = Task.objects.all() if among is None else among
    tasks = _bounded(_selected(visible, ids=ids, statuses=statuses, agent=agent, project=project), ids or ())
    expected = expected_versions or {}
    results = _left_out(set(ids or ()) - {task.pk for task in tasks}, visible)
    for task in tasks:
        results.append(_give(partial(perform, actor=actor, expected_version=expected.get(task.pk)), task))
        give_way()
    return Broadcast(command=command, results=sorted(results, key=lambda result: result.task))


def _performer(command: str, changes: str) -> Callable[..., Task]:
    if command not in COMMANDS:
        raise Invalid(f"There is no command {command!r}; there are: {', '.join(COMMANDS)}.", field="command")
    if command != "request-changes":
        return COMMANDS[command]
    if not changes.strip():
        raise UserInputRequired("Say what to change: the agents begin again with these words.", field="changes")
    return partial(request_changes, changes=changes)


def _selected(
    visible: QuerySet[Task],
    *,
    ids: Collection[int] | None,
    statuses: Collection[str] | None,
    agent: Agent | None,
    project: Project | None,
) -> QuerySet[Task]:
    """Return the tasks that all selectors agree on. What is archived has to be named."""
    if unknown := sorted(set(statuses or ()) - set(TaskStatus.values)):
        raise Invalid(f"There is no status {', '.join(unknown)}.", field="statuses")
    wanted = Q(is_archived=False) if ids is None else Q(pk__in=ids)
    if statuses is not None:
        wanted &= Q(status__in=statuses)
    if agent is not None:
        wanted &= Q(assignee=agent) | Q(pk__in=TaskRun.objects.active().filter(agent=agent).values("task"))
    if project is not None:
        wanted &= Q(project=project)
    return visible.filter(wanted).order_by("id")


def _bounded(selected: QuerySet[Task], ids: Collection[int]) -> list[Task]:
    count = len(set(ids)) or selected.count()
    if count > MAX_TASKS:
        message = f"{count} tasks are selected; one broadcast reaches at most {MAX_TASKS}. Select fewer."
        raise TooMany(message, count=count, limit=MAX_TASKS)
    return list(selected)


def _left_out(ids: set[int], visible: QuerySet[Task]) -> list[Outcome]:
    there = {task.pk: task for task in visible.filter(pk__in=ids)}
    return [_unselected(there[id_]) if id_ in there else _not_found(id_) for id_ in ids]


def _not_found(id_: int) -> Outcome:
    return Outcome(task=id_, outcome="refused", code="not_found", detail=f"There is no task {id_}.")


def _unselected(task: Task) -> Outcome:
    detail = f"Task {task.pk} is {task.status}; it is not among what was selected besides its id."
    return _outcome(task, "refused", code="not_selected", detail=detail)


def _give(command: Callable[[Task], Task], task: Task) -> Outcome:
    try:
        return _outcome(command(task), "applied")
    except DomainError as refusal:
        outcome: Verdict = "conflict" if isinstance(refusal, VersionConflict) else "refused"
        return _outcome(task, outcome, code=refusal.code, detail=str(refusal))
    except DatabaseError:
        # A deadlock, or the database went away: what was done to the others is still to be told.
        log.exception("broadcast_interrupted", task_id=task.pk)
        detail = "The database could not do it at this moment; nothing has changed. Send the command again."
        return _outcome(task, "conflict", code="not_saved", detail=detail)


def _outcome(task: Task, outcome: Verdict, *, code: str | None = None, detail: str = "") -> Outcome:
    return Outcome(task=task.pk, outcome=outcome, code=code, detail=detail, status=task.status, version=task.version)
