"""Idle: nothing was heard of the agent for too long, and nothing explains it."""

from __future__ import annotations

from runtime.stuck.findings import Finding, Kind, Thresholds
from runtime.stuck.traces import Step, Trace

# In these the agent waits for us or for a person: checks have limits of their own, people have none.
_OURS = ("finish_task", "block_task", "request_input")


def find(trace: Trace, thresholds: Thresholds) -> Finding | None:
    """Return the silence, if it is too long for what the agent is doing."""
    last, calls = trace.last, trace.under_way
    if last is None or any(_is_ours(call) for call in calls):
        return None
    limit_s = max(thresholds.idle_timeout_s, thresholds.tool_timeout_s) if calls else thresholds.idle_timeout_s
    if trace.silence_s <= limit_s:
        return None
    doing = f"while {calls[-1].name} is under way" if calls else "though nothing is under way"
    return Finding(
        kind=Kind.IDLE,
        message=f"The agent has said nothing for {trace.silence_s:.0f} s {doing}.",
        seq=last.seq,
        since=last.at,
        evidence={
            "silence_s": round(trace.silence_s),
            "limit_s": limit_s,
            "last_line": last.kind,
            "calls": [{"call": call.shown, "count": 1} for call in calls],
            "since": last.at.isoformat(),
        },
    )


def _is_ours(call: Step) -> bool:
    """A client may put the name of a server before that of the tool."""
    return call.name.rpartition("__")[2] in _OURS
