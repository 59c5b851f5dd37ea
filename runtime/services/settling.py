"""Settle what a start of a run has used. Runs inside the guarded move that ends the start, so exactly once."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import F
from django.utils import timezone

from llm.services import record_usage
from runtime import slots
from runtime.models import DayUse, TaskRun
from runtime.rundir import Usage

_TOKENS = ("token_in", "token_out", "token_cache_read", "token_cache_write")


def settled(usage: Usage) -> dict[str, Any]:
    """Return the field changes that add the usage to a run."""
    added: dict[str, Any] = {name: F(name) + getattr(usage, name) for name in (*_TOKENS, "turns")}
    return added | {"cost_usd": F("cost_usd") + _usd(usage.cost_usd), "worked_s": F("worked_s") + usage.worked_s}


def settle_day(run: TaskRun, usage: Usage) -> None:
    """Add the usage to what project and agent have used today. The slots of both are locked by the caller."""
    today = timezone.now().date()
    keys = slots.keys(run.task.project_id, run.agent_id)
    if _add_to_day(today, keys, usage) < len(keys):
        known = DayUse.objects.filter(day=today, key__in=keys).values_list("key", flat=True)
        missing = sorted(set(keys) - set(known))
        DayUse.objects.bulk_create(DayUse(day=today, key=key) for key in missing)
        _add_to_day(today, missing, usage)


def _add_to_day(today: date, keys: list[str], usage: Usage) -> int:
    return DayUse.objects.filter(day=today, key__in=keys).update(
        runs=F("runs") + 1,
        turns=F("turns") + usage.turns,
        tokens=F("tokens") + usage.tokens,
        worked_s=F("worked_s") + usage.worked_s,
        cost_usd=F("cost_usd") + _usd(usage.cost_usd),
    )


def settle_ledger(run: TaskRun, usage: Usage) -> None:
    """Add the usage to the day's ledger, per model."""
    models = usage.models or {run.agent.model or "unknown": _whole(usage)}
    for index, (model, used) in enumerate(sorted(models.items())):
        record_usage(
            day=timezone.now().date(),
            provider=run.agent.provider,
            model=model,
            project_id=run.task.project_id,
            # A start counts once, however many models it used.
            run_count=1 if index == 0 else 0,
            request_count=usage.request_count if index == 0 else 0,
            cost_usd=_usd(used.get("cost_usd", 0)),
            **{name: int(used.get(name, 0)) for name in _TOKENS},
        )


def _whole(usage: Usage) -> dict[str, float]:
    return {name: getattr(usage, name) for name in (*_TOKENS, "cost_usd")}


def _usd(amount: float) -> Decimal:
    return Decimal(str(round(amount, 6)))
