"""Runs for tests, made by the same services that make them in use."""

from __future__ import annotations

from typing import Any

from orchestration.models import Agent, Task
from orchestration.scheduler import plan
from runtime import leases, planning
from runtime.models import TaskRun
from runtime.rundir import ExitRecord, Usage
from runtime.services.moves import move_run
from runtime.states import RunStatus
from runtime.tests.halves import claim

OWNER = "scheduler-one"


def claim_all(owner: str = OWNER) -> list[TaskRun]:
    """Claim what the plan chooses now."""
    room = planning.room()
    return claim(plan(planning.candidates(room), room).start, owner=owner)


def running(task: Task, agent: Agent, owner: str = OWNER) -> TaskRun:
    """Claim a ready task and make the handshake, as a start without a process."""
    Task.objects.filter(pk=task.pk).update(assignee=agent)
    run = next(run for run in claim_all(owner) if run.task_id == task.pk)
    return move_run(run, RunStatus.RUNNING, actor=f"scheduler:{owner}", fence=True)


def late_runs() -> list[TaskRun]:
    """Return the runs whose leases have expired, the first first."""
    return list(TaskRun.objects.holding_slots().filter(lease_until__lt=leases.now()).order_by("lease_until", "id"))


def ending(outcome: str, **fields: Any) -> ExitRecord:
    """Return how a run of two turns for one cent ended."""
    usage = Usage(token_in=100, token_out=20, cost_usd=0.01, turns=2, request_count=2)
    given: dict[str, Any] = {"outcome": outcome, "usage": usage, "session_id": "session-1", "message": "Done."} | fields
    return ExitRecord(**given)
