"""Claim: make a choice of the plan true, or find that somebody was faster. One short transaction a batch."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.db.models import F, Q

from events import services as events
from events import trace
from orchestration.exceptions import Conflict
from orchestration.limits import Limits
from orchestration.models import Agent, Project, Task
from orchestration.scheduler import Choice
from orchestration.services.locks import lock_tasks
from orchestration.services.tasks import move_task
from orchestration.states import TaskStatus
from runtime import leases, planning, slots
from runtime.models import Slot, TaskRun
from runtime.services.moves import record_move
from runtime.states import RunStatus

# Of a task in todo: what else has to hold when it starts.
_READY = Q(unmet_dependencies=0, is_held=False)


@events.unit_of_work()
def claim(choices: Iterable[Choice], *, owner: str) -> list[TaskRun]:
    """Acquire runs for what the plan chose. Answers only those that were really there to take.

    Every check of the plan that could have changed since is made again under the locks of slots and tasks.
    """
    chosen = sorted(choices, key=lambda choice: choice.task_id)
    caps: dict[str, int] = {}
    for agent in _agents(chosen).values():
        caps |= slots.caps(agent.project, agent)
    locked = slots.lock(caps)
    tasks = lock_tasks(choice.task_id for choice in chosen)
    # Looked up again: to delete an agent takes its slot first, so who is there now stays.
    agents = _agents(chosen)
    claimed = [
        run
        for choice in chosen
        if (task := tasks.get(choice.task_id))
        and (chosen_agent := agents.get(choice.agent_id))
        and (run := _claim_one(task, choice.run_id, chosen_agent, locked, owner=owner))
    ]
    Project.objects.filter(pk__in={run.task.project_id for run in claimed}).update(last_served_at=leases.now())
    return claimed


def _agents(chosen: Iterable[Choice]) -> dict[int, Agent]:
    return Agent.objects.select_related("project").in_bulk({choice.agent_id for choice in chosen})


def _claim_one(task: Task, run_id: int | None, agent: Agent, locked: dict[str, Slot], *, owner: str) -> TaskRun | None:
    task.project = agent.project
    cost_cap = cost_cap_usd(task, agent)
    if cost_cap is not None and cost_cap <= 0:
        return None
    wanted = slots.keys(task.project_id, agent.pk)
    if any(locked[key].running >= locked[key].cap for key in wanted):
        return None
    run = _acquire(run_id, owner, cost_cap) if run_id else _create(task, agent, owner, cost_cap)
    if run is not None:
        slots.take(locked, wanted)
    return run


def _acquire(run_id: int, owner: str, cost_cap: Decimal | None) -> TaskRun | None:
    """Take a queued run that nobody owns; its next start has the next epoch."""
    taken = (
        TaskRun.objects.unowned()
        .filter(pk=run_id, task__is_held=False)
        .update(
            owner=owner,
            lease_until=leases.until(leases.now()),
            epoch=F("epoch") + 1,
            cost_cap_usd=cost_cap,
            version=F("version") + 1,
        )
    )
    return TaskRun.objects.select_related("task__project", "agent").get(pk=run_id) if taken else None


def _create(task: Task, agent: Agent, owner: str, cost_cap: Decimal | None) -> TaskRun | None:
    """Begin the next attempt at a ready task."""
    actor = f"scheduler:{owner}"
    try:
        move_task(task, TaskStatus.RUNNING, actor=actor, reason="claimed", where=_READY)
    except Conflict:
        return None
    lease_until = leases.until(leases.now())
    fields: dict[str, Any] = {"epoch": 1, "owner": owner, "lease_until": lease_until, "cost_cap_usd": cost_cap}
    return add_attempt(task, agent, actor=actor, reason="claimed", **fields)


def add_attempt(
    task: Task, agent: Agent, *, actor: str, reason: str, idempotency_key: str = "", **fields: Any
) -> TaskRun:
    """Queue the next attempt at a task; it goes on in the session and worktree of the one before.

    Runs in the transaction that makes the task running.
    """
    last = task.runs.order_by("-attempt").first()
    attempt = last.attempt + 1 if last else 1
    run = TaskRun.objects.create(
        task=task,
        agent=agent,
        attempt=attempt,
        status=RunStatus.QUEUED,
        idempotency_key=idempotency_key or f"task-{task.pk}-attempt-{attempt}",
        trace_id=trace.new(),
        **(inherited(last, agent) if last else {}),
        **fields,
    )
    record_move(run, before="", actor=actor, reason=reason)
    return run


def inherited(run: TaskRun, agent: Agent) -> dict[str, str]:
    """Return what a later attempt goes on with: the worktree, and the session if it is there and the same agent's."""
    has_session = run.agent_id == agent.pk and run.error_code != "session_lost"
    return {
        "session_id": run.session_id if has_session else "",
        "workspace": run.workspace,
        "branch": run.branch,
        "base_commit": run.base_commit,
    }


def cost_cap_usd(task: Task, agent: Agent) -> Decimal | None:
    """Return what a start of this task may cost: the least of agent, task and what the day has left. None: no cap."""
    limit = Limits.parse(task.limits).usd
    known = [
        agent.max_cost_usd or None,
        Decimal(str(limit)) if limit else None,
        planning.budget_left(task.project),
    ]
    return min((cap for cap in known if cap is not None), default=None)
