"""Turn tokens into money by a provider's list prices. A model that is not in the table has no known price: None.

The numbers are those the bundled client computes with; a test asks the client itself and fails when they differ.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

# When the table was last compared with the client's.
AS_OF = date(2026, 11, 24)
_MILLION = 1_000_000
# What may stand around a model's name: a cloud's prefix, a date, a version, the size of the context.
_NAME = re.compile(r"(claude-[a-z0-9-]+?)(?:[-@]\d{8})?(?:-v\d+(?::\d+)?)?(?:\[1m\])?$")


@dataclass(frozen=True)
class Price:
    """USD for a million tokens."""

    token_in: float
    token_out: float
    token_cache_read: float
    token_cache_write: float


_LATE_OPUS = Price(5, 25, 0.5, 6.25)
_SONNET = Price(3, 15, 0.3, 3.75)
_FABLE_5_2 = Price(8, 40, 0.2, 10)
_FABLE_5 = Price(10, 50, 1, 12.5)

PRICES = {
    "claude-fable-5": _FABLE_5,
    "claude-fable-5-2": _FABLE_5_2,
    "claude-haiku-4-5": Price(1, 5, 0.1, 1.25),
    "claude-haiku-5-5": Price(0.1, 0.5, 0.01, 0.125),
    "claude-mythos-5": _FABLE_5,
    "claude-mythos-5-2": _FABLE_5_2,
    "claude-opus-4-5": _LATE_OPUS,
    "claude-opus-4-6": _LATE_OPUS,
    "claude-opus-4-7": _LATE_OPUS,
    "claude-opus-4-8": _LATE_OPUS,
    "claude-opus-5": _LATE_OPUS,
    "claude-opus-5-5": Price(4, 20, 0.2, 5),
    "claude-sonnet-4-5": _SONNET,
    "claude-sonnet-4-6": _SONNET,
    "claude-sonnet-5": Price(2, 10, 0.2, 2.5),
    "claude-sonnet-5-5": Price(2, 10, 0.1, 2.5),
}


def price(model: str) -> Price | None:
    """Return the list price of a model, or None where it is unknown."""
    match = _NAME.search(model.lower())
    return PRICES.get(match[1]) if match else None


def cost_usd(
    model: str,
    *,
    token_in: float = 0,
    token_out: float = 0,
    token_cache_read: float = 0,
    token_cache_write: float = 0,
) -> float | None:
    """Return what these tokens cost by list price, or None where the price is unknown."""
    found = price(model)
    if found is None:
        return None
    cost = (
        token_in * found.token_in
        + token_out * found.token_out
        + token_cache_read * found.token_cache_read
        + token_cache_write * found.token_cache_write
    )
    return cost / _MILLION
