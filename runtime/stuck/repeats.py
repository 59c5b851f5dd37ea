"""Repeat: what the last calls did and brought has been done and brought before. A, A, A as well as A, B, A, B."""

from __future__ import annotations

from collections import Counter

from runtime.stuck.findings import Finding, Kind, Thresholds
from runtime.stuck.fingerprints import fingerprint
from runtime.stuck.traces import Step, Trace


def find(trace: Trace, thresholds: Thresholds) -> Finding | None:
    """Return the loop, if too large a share of the last calls brought nothing new.

    A call that was made before and has another result now is news: waiting for something by looking at it is no loop.
    """
    window = trace.done[-thresholds.repeat_window :]
    if len(window) < thresholds.repeat_window:
        return None
    prints = [fingerprint(step) for step in window]
    counts = Counter(prints)
    share = 1 - len(counts) / len(window)
    if share < thresholds.repeat_threshold:
        return None
    latest = dict(zip(prints, window, strict=True))
    often = [(latest[print_], count) for print_, count in counts.most_common() if count > 1]
    return Finding(
        kind=Kind.REPEAT,
        message=f"Of the last {len(window)} calls {len(window) - len(counts)} did what had been done before, "
        "with the same result.",
        seq=window[-1].seq,
        since=window[0].at,
        evidence={
            "window": len(window),
            "share": round(share, 3),
            "threshold": thresholds.repeat_threshold,
            "calls": [_shown(step, count) for step, count in often],
            "last_result": window[-1].result,
            "since": window[0].at.isoformat(),
        },
    )


def _shown(step: Step, count: int) -> dict[str, object]:
    return {"call": step.shown, "count": count}
