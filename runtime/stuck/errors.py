"""Errors: nearly everything the agent tries fails, whether it is the same or not."""

from __future__ import annotations

from collections import Counter

from runtime.stuck.findings import Finding, Kind, Thresholds
from runtime.stuck.traces import Trace


def find(trace: Trace, thresholds: Thresholds) -> Finding | None:
    """Return the run of failures, if their share among the last calls is too large. A few calls are never enough."""
    window = trace.done[-thresholds.error_window :]
    failed = [step for step in window if step.is_error]
    if len(window) < thresholds.error_min_calls or not failed:
        return None
    share = len(failed) / len(window)
    if share < thresholds.error_rate_threshold:
        return None
    counts = Counter(step.shown for step in failed)
    return Finding(
        kind=Kind.ERRORS,
        message=f"Of the last {len(window)} calls {len(failed)} failed.",
        seq=window[-1].seq,
        since=failed[0].at,
        evidence={
            "window": len(window),
            "share": round(share, 3),
            "threshold": thresholds.error_rate_threshold,
            "calls": [{"call": call, "count": count} for call, count in counts.most_common()],
            "last_result": failed[-1].result,
            "since": failed[0].at.isoformat(),
        },
    )
