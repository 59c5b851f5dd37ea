from __future__ import annotations

import pytest

from llm import pricing


def test_cost_is_the_sum_over_kinds_of_tokens() -> None:
    cost = pricing.cost_usd(
        "claude-opus-5-5",
        token_in=1_000_000,
        token_out=100_000,
        token_cache_read=1_000_000,
        token_cache_write=200_000,
    )
    assert cost == pytest.approx(4 + 2 + 0.2 + 1)


@pytest.mark.parametrize(
    "name",
    [
        "claude-haiku-4-5-20251001",
        "claude-haiku-4-5@20251001",
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "anthropic/claude-haiku-4-5",
        "claude-haiku-4-5[1m]",
        "Claude-Haiku-4-5",
    ],
)
def test_name_may_carry_what_clouds_and_dates_add(name: str) -> None:
    assert pricing.price(name) == pricing.PRICES["claude-haiku-4-5"]


@pytest.mark.parametrize("name", ["", "scripted-stand-in", "claude-opus-9", "gpt-6", "claude-opus-5-5-turbo"])
def test_price_of_other_models_is_unknown(name: str) -> None:
    assert pricing.price(name) is None
    assert pricing.cost_usd(name, token_in=1000) is None


def test_nothing_used_costs_nothing() -> None:
    assert pricing.cost_usd("claude-sonnet-5-5") == 0
