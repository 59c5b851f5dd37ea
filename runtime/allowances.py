"""What may still be used: the limits of tasks, projects and agents, less what was used and what running work has reserved.

A start of a run reserves what it may use at most. Whoever claims holds the slots of project and agent, so between the look
at what is left and the reservation nobody else comes. Amounts are by unit: runs, turns, tokens, minutes, usd.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.conf import settings
from django.db.models import Count, F, Sum
from django.utils import timezone

from llm.queries import spent_by_project
from orchestration.limits import AgentDay, Limits, ProjectDay
from orchestration.models import Agent, Project, Task
from runtime import slots
from runtime.models import DayUse, TaskRun
from runtime.rundir import Usage

Amounts = dict[str, Decimal]
"""A unit that is missing has no limit."""

REACHED = frozenset({"max_turns", "max_tokens", "max_minutes", "budget", "task_limit"})
"""How runs end that were stopped by a cap. Trying again would only use more."""

# Reading the cache is not counted: each turn reads again what went before, at a tenth of the price.
_TOKENS = F("token_in") + F("token_out") + F("token_cache_write")


class Day:
    """One look at today (UTC). Asks the database only for what has a limit, and once."""

    def __init__(self) -> None:
        self._date = timezone.now().date()

    def left(self, owner: Project | Agent) -> Amounts:
        """Return what a project or an agent may still use today."""
        is_agent = isinstance(owner, Agent)
        key = slots.agent_key(owner.pk) if is_agent else slots.project_key(owner.pk)
        return self._left(key, _agent_limits(owner) if isinstance(owner, Agent) else _project_limits(owner))

    def left_in_all(self) -> Amounts:
        """Return what all projects together may still use today."""
        budget = settings.DAILY_BUDGET_USD
        return self._left(slots.GLOBAL, {"usd": Decimal(str(budget))} if budget else {})

    def reserve(self, run: TaskRun, project_id: int) -> None:
        """Count a run that was claimed after this look."""
        if "_reserved" in self.__dict__:
            for key in slots.keys(project_id, run.agent_id):
                _add(self._reserved.setdefault(key, {}), _reserved_by(run))

    def _left(self, key: str, limits: Amounts) -> Amounts:
        if not limits:
            return {}
        used, reserved = self._used.get(key, {}), self._reserved.get(key, {})
        return {
            unit: limit - used.get(unit, Decimal(0)) - reserved.get(unit, Decimal(0)) for unit, limit in limits.items()
        }

    @cached_property
    def _used(self) -> dict[str, Amounts]:
        used = {row.key: row.amounts() for row in DayUse.objects.filter(day=self._date)}
        # The cost ledger has all that was spent, also for what is no run.
        spent = spent_by_project(self._date)
        for project_id, usd in spent.items():
            used.setdefault(slots.project_key(project_id), {})["usd"] = usd
        used.setdefault(slots.GLOBAL, {})["usd"] = sum(spent.values(), Decimal(0))
        return used

    @cached_property
    def _reserved(self) -> dict[str, Amounts]:
        found: dict[str, Amounts] = {}
        rows = TaskRun.objects.holding_slots().order_by().values("task__project_id", "agent_id")
        for row in rows.annotate(
            runs=Count("pk"),
            turns=Sum("turn_cap"),
            tokens=Sum("token_cap"),
            seconds=Sum("time_cap_s"),
            usd=Sum("cost_cap_usd"),
        ):
            amounts = _amounts(row)
            for key in slots.keys(row["task__project_id"], row["agent_id"]):
                _add(found.setdefault(key, {}), amounts)
        return found


def tasks_left(tasks: Iterable[Task]) -> dict[int, Amounts]:
    """Return what each task may still use, over all its runs. What its present start uses is counted when that ends."""
    limits = {task.pk: Limits.parse(task.limits).amounts() for task in tasks if task.limits}
    left = {}
    used = _used_by_tasks(limits)
    for task_id, caps in limits.items():
        before = used.get(task_id, {})
        left[task_id] = {unit: cap - before.get(unit, Decimal(0)) for unit, cap in caps.items()}
    return left


def task_left(task: Task) -> Amounts:
    """Return what one task may still use."""
    return tasks_left([task]).get(task.pk, {})


def _used_by_tasks(ids: Collection[int]) -> dict[int, Amounts]:
    if not ids:
        return {}
    runs = TaskRun.objects.filter(task__in=ids).order_by().values("task_id")
    sums = runs.annotate(turns=Sum("turns"), tokens=Sum(_TOKENS), seconds=Sum("worked_s"), usd=Sum("cost_usd"))
    return {row["task_id"]: _amounts(row) for row in sums}


def task_spent_by(task: Task, usage: Usage) -> str:
    """Return a unit that a task has used up once this usage is added to it; "" when there is none."""
    more = _amounts({"turns": usage.turns, "tokens": usage.tokens, "seconds": usage.worked_s, "usd": usage.cost_usd})
    return spent({unit: left - more[unit] for unit, left in task_left(task).items()})


def start_caps(agent: Agent, day: Day, of_task: Amounts) -> Amounts:
    """Return what the next start of a task may use: the least of what its agent, the task itself and the day leave."""
    own: dict[str, int | Decimal] = {"turns": agent.max_turns, "tokens": agent.max_tokens, "usd": agent.max_cost_usd}
    return least(
        {unit: Decimal(cap) for unit, cap in own.items() if cap},
        of_task,
        day.left(agent.project),
        day.left(agent),
        day.left_in_all(),
    )


def least(*amounts: Amounts) -> Amounts:
    """Return the smallest of each unit."""
    units = {unit for each in amounts for unit in each}
    return {unit: min(each[unit] for each in amounts if unit in each) for unit in units}


def spent(left: Amounts) -> str:
    """Return a unit of which nothing is left, "" when there is none. A turn and a token cannot be cut in half."""
    return next((unit for unit, amount in sorted(left.items()) if amount < _SMALLEST.get(unit, 0) or amount <= 0), "")


_SMALLEST = {"runs": 1, "turns": 1, "tokens": 1}


def reservation(caps: Amounts) -> dict[str, Any]:
    """Return the fields of a run that hold what its start may use."""
    minutes = caps.get("minutes")
    return {
        "turn_cap": int(caps["turns"]) if "turns" in caps else None,
        "token_cap": int(caps["tokens"]) if "tokens" in caps else None,
        "time_cap_s": float(minutes * 60) if minutes is not None else None,
        "cost_cap_usd": caps.get("usd"),
    }


def _agent_limits(agent: Agent) -> Amounts:
    return AgentDay.parse(agent.daily_limits).amounts() if agent.daily_limits else {}


def _project_limits(project: Project) -> Amounts:
    limits = ProjectDay.parse(project.daily_limits).amounts() if project.daily_limits else {}
    return limits if project.daily_budget_usd is None else limits | {"usd": project.daily_budget_usd}


def _reserved_by(run: TaskRun) -> Amounts:
    caps = {"turns": run.turn_cap, "tokens": run.token_cap, "seconds": run.time_cap_s, "usd": run.cost_cap_usd}
    return _amounts({"runs": 1, **caps})


def _amounts(row: Mapping[str, Any]) -> Amounts:
    """Return sums as the database gives them, by unit; there, a sum of nothing is null."""
    exact = {unit: Decimal(str(row.get(unit) or 0)) for unit in ("runs", "turns", "tokens", "usd")}
    return exact | {"minutes": Decimal(str(row.get("seconds") or 0)) / 60}


def _add(total: Amounts, more: Amounts) -> None:
    for unit, amount in more.items():
        total[unit] = total.get(unit, Decimal(0)) + amount
