"""Write the cost ledger. The caller's transaction decides that it happens exactly once."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from django.db.models import F

from llm.models import UsageDaily


def record_usage(
    *,
    day: date,
    provider: str,
    model: str,
    project_id: int,
    request_count: int = 0,
    run_count: int = 0,
    token_in: int = 0,
    token_out: int = 0,
    token_cache_read: int = 0,
    token_cache_write: int = 0,
    cost_usd: Decimal = Decimal(0),
) -> None:
    """Add to a day's use of a model."""
    row, _ = UsageDaily.objects.get_or_create(date=day, provider=provider, model=model[:100], project_id=project_id)
    UsageDaily.objects.filter(pk=row.pk).update(
        request_count=F("request_count") + request_count,
        run_count=F("run_count") + run_count,
        token_in=F("token_in") + token_in,
        token_out=F("token_out") + token_out,
        token_cache_read=F("token_cache_read") + token_cache_read,
        token_cache_write=F("token_cache_write") + token_cache_write,
        cost_usd=F("cost_usd") + cost_usd,
    )
