"""Watch over a run: what the scheduler left in `control/`, and the clock."""

from __future__ import annotations

import asyncio
import time

from runtime.runner.state import Ending, RunState

POLL_S = 0.1
# How long an agent that has reported may take to end its turn, whatever it says meanwhile. A client that the report
# reaches ends it at once, but that end may be lost on the way.
REPORTED_S = 10.0


async def watch(state: RunState) -> None:
    """Stop the run when somebody asks for it or its time is over. Ends when the run does."""
    while state.ending is None:
        ending = _asked(state) or _spent(state) or _overdue(state, time.monotonic())
        if ending is not None:
            state.end(ending)
            return
        await asyncio.sleep(POLL_S)


def _asked(state: RunState) -> Ending | None:
    if state.directory.received("cancel") is not None:
        return Ending(outcome="cancelled")
    interrupt = state.directory.received("interrupt")
    if interrupt is None:
        return None
    return Ending(outcome="interrupted", message=str(interrupt.get("reason", "")), can_wait=True)


def _spent(state: RunState) -> Ending | None:
    """Tell whether a cap is reached. The client counts too, but not all of them, and not every client does."""
    request, usage = state.request, state.usage
    tokens = usage.token_in + usage.token_out + usage.token_cache_write
    if request.max_tokens and tokens >= request.max_tokens:
        return _capped("max_tokens", f"It used {tokens} tokens of {request.max_tokens}.")
    if request.max_turns and usage.turns > request.max_turns:
        return _capped("max_turns", f"It took {usage.turns} turns of {request.max_turns}.")
    if request.max_cost_usd and usage.cost_usd > request.max_cost_usd:
        return _capped("budget", f"It cost {usage.cost_usd:.4f} USD of {request.max_cost_usd:.4f}.")
    if request.time_cap_s and not state.asks and state.worked_s > request.time_cap_s:
        return _capped("max_minutes", f"It worked for all the {request.time_cap_s / 60:.1f} minutes it had left.")
    return None


def _capped(code: str, message: str) -> Ending:
    return Ending(outcome="failed", code=code, message=message, can_wait=True)


def _overdue(state: RunState, now: float) -> Ending | None:
    request = state.request
    if state.report is not None and now - state.reported > REPORTED_S:
        return state.report
    if state.asks:
        return None
    if now - state.started > request.timeout_s:
        return _timeout(f"The run took longer than {request.timeout_s:.0f} s.")
    if state.holds:
        return None
    silence = now - state.heard
    if silence > request.idle_timeout_s:
        return _timeout(f"The agent said nothing for {request.idle_timeout_s:.0f} s.")
    return None


def _timeout(message: str) -> Ending:
    return Ending(outcome="failed", code="timeout", message=message)
