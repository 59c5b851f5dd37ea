"""The labelled traces in `traces/`: read them, and replay them as scans would have seen them.

Each file is one run: a header, then lines as RunLog has them. They were recorded by `runtime.tests.record_traces`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from runtime.stuck import traces
from runtime.stuck.detectors import DETECTORS
from runtime.stuck.findings import Kind, Thresholds
from runtime.stuck.traces import Line

FOLDER = Path(__file__).with_name("traces")
# A scan comes at least that often while nothing happens.
_STEP = timedelta(seconds=60)


@dataclass(frozen=True)
class Labelled:
    """A recorded run, and what is true of it."""

    name: str
    why: str
    is_stuck: frozenset[Kind]
    """Empty for a healthy run."""
    ends_at: datetime
    """When it ended, or was looked at last."""
    lines: list[Line]


@dataclass
class Score:
    """How often a detector was right."""

    hits: int = 0
    false_alarms: int = 0
    misses: int = 0

    @property
    def precision(self) -> float:
        return self.hits / ((self.hits + self.false_alarms) or 1)

    @property
    def recall(self) -> float:
        return self.hits / ((self.hits + self.misses) or 1)


def corpus() -> list[Labelled]:
    """Return every labelled trace, by name."""
    return [_read(path) for path in sorted(FOLDER.glob("*.jsonl"))]


def found_in(trace: Labelled, thresholds: Thresholds | None = None) -> set[Kind]:
    """Return what a scan would have found at any moment of the run."""
    limits = thresholds or Thresholds()
    found = set()
    for lines, silence_s in _looks(trace):
        seen = traces.read(lines, silence_s=silence_s)
        found |= {kind for kind, detect in DETECTORS.items() if detect(seen, limits)}
    return found


def score(kind: Kind, thresholds: Thresholds | None = None) -> Score:
    """Return how a detector does on the whole corpus."""
    result = Score()
    for trace in corpus():
        is_found, is_so = kind in found_in(trace, thresholds), kind in trace.is_stuck
        result.hits += is_found and is_so
        result.false_alarms += is_found and not is_so
        result.misses += is_so and not is_found
    return result


def _looks(trace: Labelled) -> Iterator[tuple[list[Line], float]]:
    """Yield what was there after each line, and from time to time in the silence behind it, with its length."""
    for number, line in enumerate(trace.lines, start=1):
        until = trace.lines[number].at if number < len(trace.lines) else trace.ends_at
        silence = timedelta()
        while silence < until - line.at:
            yield trace.lines[:number], silence.total_seconds()
            silence += _STEP
        yield trace.lines[:number], max(timedelta(), until - line.at).total_seconds()


def _read(path: Path) -> Labelled:
    header, *lines = (json.loads(text) for text in path.read_text(encoding="utf-8").splitlines())
    return Labelled(
        name=path.stem,
        why=header["why"],
        is_stuck=frozenset(Kind(kind) for kind in header["is_stuck"]),
        ends_at=datetime.fromisoformat(header["ends_at"]),
        lines=[Line(**{**line, "at": datetime.fromisoformat(line["at"])}) for line in lines],
    )
