"""Reads of the cost ledger that are no querysets."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from django.db.models import Sum

from llm.models import UsageDaily


def spent_by_project(day: date) -> dict[int, Decimal]:
    """Return what each project has spent on a day, in USD."""
    rows = UsageDaily.objects.filter(date=day).order_by().values_list("project_id").annotate(sum=Sum("cost_usd"))
    return dict(rows)
