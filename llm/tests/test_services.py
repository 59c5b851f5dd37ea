from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from llm.models import UsageDaily
from llm.queries import spent_by_project
from llm.services import record_usage

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 24)


def test_usage_of_a_day_adds_up_in_one_row() -> None:
    for _ in range(2):
        record_usage(day=DAY, provider="p", model="m", project_id=1, token_in=5, cost_usd=Decimal("0.25"))
    row = UsageDaily.objects.get()
    assert (row.token_in, row.cost_usd) == (10, Decimal("0.5"))


def test_spending_is_counted_per_project_and_day() -> None:
    record_usage(day=DAY, provider="p", model="m", project_id=1, cost_usd=Decimal(1))
    record_usage(day=DAY, provider="p", model="n", project_id=1, cost_usd=Decimal(2))
    record_usage(day=DAY, provider="p", model="m", project_id=2, cost_usd=Decimal(4))
    assert spent_by_project(DAY)[1] == Decimal(3)
