"""Claim: make a choice of the plan true, or find that somebody was faster. One short transaction a batch."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from django.db.models import F, Max

from events import services as events
from events import trace
from orchestration.exceptions import Conflict
from orchestration.limits import Limits
from orchestration.models import Agent, Project, Task
from orchestration.scheduler import Choice
from orchestration.services.tasks import move_task
from orchestration.states import TaskStatus
from runtime import leases, planning, slots
from runtime.models import Slot, TaskRun
from runtime.services.moves import record_move
from runtime.states import RunStatus


@events.unit_of_work()
def claim(choices: Iterable[Choice], *, owner: str) -> list[TaskRun]:
    """Acquire runs for what the plan chose. Answers only those that were really there to take.

    Every check of the plan that could have changed since is made again under the slots' locks.
    """
    chosen = list(choices)
    agents = {agent.pk: agent for agent in Agent.objects.filter(pk__in=[choice.agent_id for choice in chosen])}
    projects = {project.pk: project for project in Project.objects.filter(agents__in=agents)}
    caps: dict[str, int] = {}
    for agent in agents.values():
        caps |= slots.caps(projects[agent.project_id], agent)
    locked = slots.lock(caps)
    claimed = [
        run
        for choice in sorted(chosen, key=lambda choice: choice.task_id)
        if (run := _claim_one(choice, agents[choice.agent_id], locked, owner=owner))
    ]
    Project.objects.filter(pk__in={run.task.project_id for run in claimed}).update(last_served_at=leases.now())
    return claimed


def _claim_one(choice: Choice, agent: Agent, locked: dict[str, Slot], *, owner: str) -> TaskRun | None:
    task = Task.objects.select_related("project").get(pk=choice.task_id)
    cost_cap = cost_cap_usd(task, agent)
    if cost_cap is not None and cost_cap <= 0:
        return None
    wanted = slots.keys(task.project_id, agent.pk)
    if any(locked[key].running >= locked[key].cap for key in wanted):
        return None
    run = _acquire(choice.run_id, owner, cost_cap) if choice.run_id else _create(task, agent, owner, cost_cap)
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
    """Begin the next attempt at a ready task; it goes on in the session and worktree of the one before."""
    if not Task.objects.ready().filter(pk=task.pk).exists():
        return None
    try:
        move_task(task, TaskStatus.RUNNING, actor=f"scheduler:{owner}", reason="claimed")
    except Conflict:
        return None
    last = task.runs.order_by("-attempt").first()
    attempt = (task.runs.aggregate(last=Max("attempt"))["last"] or 0) + 1
    run = TaskRun.objects.create(
        task=task,
        agent=agent,
        attempt=attempt,
        epoch=1,
        status=RunStatus.QUEUED,
        idempotency_key=f"task-{task.pk}-attempt-{attempt}",
        trace_id=trace.new(),
        owner=owner,
        lease_until=leases.until(leases.now()),
        cost_cap_usd=cost_cap,
        **(inherited(last, agent) if last else {}),
    )
    record_move(run, before="", actor=f"scheduler:{owner}", reason="claimed")
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
