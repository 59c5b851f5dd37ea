from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from llm.services import record_usage

pytestmark = pytest.mark.django_db


def use(model: str, cost: str) -> None:
    record_usage(
        day=date(2026, 11, 24),
        provider="noop",
        model=model,
        project_id=1,
        run_count=1,
        token_in=1_000_000,
        cost_usd=Decimal(cost),
    )


def test_the_first_line_sums_up_what_the_list_holds(admin_client: Client) -> None:
    use("small", "1.25")
    use("large", "2")
    url = reverse("admin:llm_usagedaily_changelist")
    assert admin_client.get(url).context["total"] == "$3.25, 2 runs, 2,000,000 tokens in, 0 out"
    assert admin_client.get(url, {"model": "large"}).context["total"].startswith("$2.00, 1 runs")


def test_an_empty_ledger_sums_up_to_nothing(admin_client: Client) -> None:
    total = admin_client.get(reverse("admin:llm_usagedaily_changelist")).context["total"]
    assert total == "$0.00, 0 runs, 0 tokens in, 0 out"
