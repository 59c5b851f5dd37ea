"""Settle what starts of runs have used. Runs inside the guarded moves that end the starts, so exactly once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from django.db.models import F, QuerySet
from django.utils import timezone

from llm.services import record_usage
from runtime import slots
from runtime.models import DayUse, TaskRun
from runtime.rundir import Usage
from sql.prepared import PreparedUpdate

Used = tuple[TaskRun, Usage]
"""A run, and what its start used."""

_TOKENS = ("token_in", "token_out", "token_cache_read", "token_cache_write")


def settled(usage: Usage) -> dict[str, Any]:
    """Return the field changes that add the usage to a run."""
    return {name: F(name) + amount for name, amount in amounts(usage).items()}


def amounts(usage: Usage) -> dict[str, Any]:
    """Return what is added to a run, by field."""
    counted = {name: getattr(usage, name) for name in (*_TOKENS, "turns")}
    return counted | {"cost_usd": _usd(usage.cost_usd), "worked_s": usage.worked_s}


class _Sum(NamedTuple):
    """What starts of runs have used of a day."""

    runs: int = 0
    turns: int = 0
    tokens: int = 0
    worked_s: float = 0.0
    cost_usd: Decimal = Decimal(0)

    def plus(self, usage: Usage) -> _Sum:
        return _Sum(
            runs=self.runs + 1,
            turns=self.turns + usage.turns,
            tokens=self.tokens + usage.tokens,
            worked_s=self.worked_s + usage.worked_s,
            cost_usd=self.cost_usd + _usd(usage.cost_usd),
        )


def settle_day(ends: Iterable[Used]) -> None:
    """Add the usage to what projects and agents have used today. Their slots are locked by the caller."""
    today = timezone.now().date()
    sums: dict[str, _Sum] = {}
    for run, usage in ends:
        for key in slots.keys(run.task.project_id, run.agent_id):
            sums[key] = sums.get(key, _Sum()).plus(usage)
    # Mostly one agent has used it all, and so its project, and so everything: one UPDATE.
    for used in set(sums.values()):
        _settle_keys(today, sorted(key for key in sums if sums[key] == used), used)


def _settle_keys(today: date, keys: list[str], used: _Sum) -> None:
    if _add_to_day(today, keys, *used) < len(keys):
        known = DayUse.objects.filter(day=today, key__in=keys).values_list("key", flat=True)
        missing = sorted(set(keys) - set(known))
        DayUse.objects.bulk_create(DayUse(day=today, key=key) for key in missing)
        _add_to_day(today, missing, *used)


def _used_more(today: date, keys: Collection[str], *used: Any) -> tuple[QuerySet[DayUse], dict[str, Any]]:
    added = {name: F(name) + amount for name, amount in zip(_Sum._fields, used, strict=True)}
    return DayUse.objects.filter(day=today, key__in=keys), added


_add_to_day = PreparedUpdate(_used_more)


def settle_ledger(ends: Iterable[Used]) -> None:
    """Add the usage to the day's ledger, per model."""
    day, sums = timezone.now().date(), dict[tuple[int, str, str], dict[str, Any]]()
    for run, usage in ends:
        models = usage.models or {run.agent.model or "unknown": _whole(usage)}
        for index, (model, used) in enumerate(sorted(models.items())):
            row = sums.setdefault((run.task.project_id, run.agent.provider, model), {})
            # A start counts once, however many models it used.
            _add(row, run_count=int(index == 0), request_count=usage.request_count if index == 0 else 0)
            _add(row, cost_usd=_usd(used.get("cost_usd", 0)), **{name: int(used.get(name, 0)) for name in _TOKENS})
    for (project_id, provider, model), added in sorted(sums.items()):
        record_usage(day=day, provider=provider, model=model, project_id=project_id, **added)


def _add(row: dict[str, Any], **more: int | Decimal) -> None:
    for name, amount in more.items():
        row[name] = row.get(name, 0) + amount


def _whole(usage: Usage) -> dict[str, float]:
    return {name: getattr(usage, name) for name in (*_TOKENS, "cost_usd")}


def _usd(amount: float) -> Decimal:
    return Decimal(str(round(amount, 6)))
