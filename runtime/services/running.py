"""Run: a person wants a task to start as soon as there is room, before everything else that waits."""

from __future__ import annotations

import hashlib

from django.db.models import Count, F, Q

from orchestration.exceptions import CrossProject
from orchestration.models import Agent, Task
from orchestration.services.interventions import audited, require_version
from orchestration.services.rows import refuse_archived
from orchestration.services.tasks import move_task
from orchestration.states import AgentStatus, TaskStatus
from runtime import clients
from runtime.exceptions import AgentPaused, NoAgent
from runtime.services.claims import add_attempt
from runtime.services.commands import RETRYABLE, begin_anew, hasten, refused, waits_for_retry
from runtime.services.resuming import refuse_unmet
from runtime.states import RunStatus

_REASON = "run by a person"
# What a run's column holds.
_MAX_KEY = 255


@audited("run")
def run_task(
    task: Task,
    *,
    actor: str,
    agent: Agent | None = None,
    expected_version: int | None = None,
    idempotency_key: str = "",
) -> Task:
    """Queue the next attempt at a task; what failed, is blocked or was cancelled begins anew, what waits for a retry now.

    The agent is the one given, else the assignee, else the least busy one. The same key never runs a task twice: it
    finds the task as it is. Raises InvalidTransition, DependenciesUnmet, NoAgent, AgentPaused, CrossProject, Archived,
    VersionConflict.
    """
    key = _scoped(task, idempotency_key)
    if key and task.runs.filter(idempotency_key=key).exists():
        return task
    require_version(task, expected_version)
    is_retry = waits_for_retry(task)
    if task.status != TaskStatus.TODO and task.status not in RETRYABLE and not is_retry:
        raise refused(task, "started")
    refuse_archived(task.project)
    refuse_unmet(task)
    if is_retry and _keeps_agent(task, agent):
        hasten(task, actor=actor, **({"idempotency_key": key} if key else {}))
        return task
    chosen = _agent_for(task, agent)
    if task.status != TaskStatus.TODO:
        begin_anew(task, actor=actor)
    move_task(task, TaskStatus.RUNNING, actor=actor, reason=_REASON, not_before=None)
    add_attempt(task, chosen, actor=actor, reason=_REASON, idempotency_key=key)
    return task


def _keeps_agent(task: Task, given: Agent | None) -> bool:
    """Tell whether the attempt that waits has the agent that is wanted."""
    return given is None or task.runs.filter(status=RunStatus.RETRY_SCHEDULED, agent=given).exists()


def _scoped(task: Task, key: str) -> str:
    """Return a caller's key as a run keeps it: no task's key meets another's, and the longest one fits."""
    scoped = f"task-{task.pk}:{key}"
    if len(scoped) > _MAX_KEY:
        scoped = f"task-{task.pk}:sha256:{hashlib.sha256(key.encode()).hexdigest()}"
    return scoped if key else ""


def _agent_for(task: Task, given: Agent | None) -> Agent:
    chosen = given or task.assignee or _least_busy(task)
    if chosen is None:
        raise NoAgent(f"Project {task.project_id} has no active agent. Add one, or activate one.")
    if chosen.project_id != task.project_id:
        raise CrossProject("The agent belongs to another project. Choose one of this project.", field="agent")
    if chosen.status != AgentStatus.ACTIVE:
        raise AgentPaused(f"{chosen.name} is {chosen.status}. Activate it, or name another agent.")
    return chosen


def _least_busy(task: Task) -> Agent | None:
    """Return the active agent with most room, counting what is queued for it; preferably one whose client works here."""
    at_work = Count("runs", filter=Q(runs__status__in=[RunStatus.QUEUED, RunStatus.RUNNING]))
    active = task.project.agents.filter(status=AgentStatus.ACTIVE)
    agents = list(active.annotate(free=F("max_parallel_runs") - at_work).order_by("-free", "id"))
    missing = clients.missing_in(task.project)
    return next((agent for agent in agents if agent.provider not in missing), next(iter(agents), None))
