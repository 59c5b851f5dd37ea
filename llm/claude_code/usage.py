"""Count what this process used, from what the client says about its whole session.

A result is exact, and cumulative over the session. Between results the messages tell the input tokens of each request
and little else; that estimate is what remains of a turn whose process is killed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm import pricing
from llm.claude_code.sessions import Baseline
from llm.contract import Usage

# Our names, the names in a result's modelUsage, and those in a message's usage.
_NAMES = {
    "token_in": ("inputTokens", "input_tokens"),
    "token_out": ("outputTokens", "output_tokens"),
    "token_cache_read": ("cacheReadInputTokens", "cache_read_input_tokens"),
    "token_cache_write": ("cacheCreationInputTokens", "cache_creation_input_tokens"),
}
_CHARS_PER_TOKEN = 4

Counts = dict[str, float]


class UsageMeter:
    """The use of one process."""

    def __init__(self, before: Baseline) -> None:
        self._before = before
        self._exact: dict[str, Counts] = {}
        self._cost_usd = 0.0
        self._turns = 0
        self._requests: set[str] = set()
        self._open: dict[str, tuple[str, Counts]] = {}
        """Requests since the last result, by message id: their model, and an estimate."""

    def message(self, message_id: str, model: str, used: Mapping[str, Any], text: str) -> bool:
        """Take note of a message, or of one more block of it; tell whether it is a new one."""
        is_new = message_id not in self._requests
        self._requests.add(message_id)
        _, counts = self._open.setdefault(message_id, (model, _of_message(used)))
        # The client reports the output of a message only with the result.
        counts["token_out"] += -(-len(text) // _CHARS_PER_TOKEN)
        return is_new

    def result(self, models: Mapping[str, Mapping[str, Any]] | None, cost_usd: float | None, turns: int) -> None:
        """Take the client's own numbers, which stand for the whole session."""
        self._turns += turns
        if models is None or cost_usd is None:
            return
        self._exact = {model: self._difference(model, used) for model, used in models.items()}
        self._cost_usd = max(0.0, cost_usd - self._before.cost_usd)
        self._open.clear()

    def usage(self) -> Usage:
        """Return what was used so far."""
        models = {model: dict(counts) for model, counts in self._exact.items()}
        estimate = 0.0
        for model, counts in self._open.values():
            cost = pricing.cost_usd(model, **counts) or 0.0
            estimate += cost
            total = models.setdefault(model, dict.fromkeys((*_NAMES, "cost_usd"), 0))
            for name, count in (counts | {"cost_usd": cost}).items():
                total[name] += count
        tokens = {name: int(sum(counts[name] for counts in models.values())) for name in _NAMES}
        return Usage(
            token_in=tokens["token_in"],
            token_out=tokens["token_out"],
            token_cache_read=tokens["token_cache_read"],
            token_cache_write=tokens["token_cache_write"],
            cost_usd=round(self._cost_usd + estimate, 6),
            turns=self._turns,
            request_count=len(self._requests),
            models={model: counts for model, counts in models.items() if any(counts.values())},
        )

    def _difference(self, model: str, used: Mapping[str, Any]) -> Counts:
        before = self._before.models.get(model, {})
        counts: Counts = {
            ours: max(0, int(used.get(theirs) or 0) - int(before.get(theirs) or 0))
            for ours, (theirs, _) in _NAMES.items()
        }
        cost = float(used.get("costUSD") or 0) - float(before.get("costUSD") or 0)
        return counts | {"cost_usd": round(max(0.0, cost), 6)}


def _of_message(used: Mapping[str, Any]) -> Counts:
    counts: Counts = {ours: int(used.get(theirs) or 0) for ours, (_, theirs) in _NAMES.items()}
    return counts | {"token_out": 0}
