"""How often stuck detection is right: precision and recall of each detector over the labelled traces."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.harness import Figure, at_least, benchmark
from runtime.stuck.findings import Kind
from runtime.tests.stuck_corpus import corpus, score


@benchmark
def precision_and_recall() -> Iterator[Figure]:
    """Each trace is looked at after every line and once a minute in between, with the settings as they come."""
    traces = corpus()
    yield Figure("traces, healthy", sum(not trace.is_stuck for trace in traces), "")
    yield Figure("traces, stuck", sum(bool(trace.is_stuck) for trace in traces), "")
    for kind in Kind:
        result = score(kind)
        yield Figure(f"{kind}: precision", result.precision, "", goal=at_least(1.0))
        yield Figure(f"{kind}: recall", result.recall, "", goal=at_least(1.0))
