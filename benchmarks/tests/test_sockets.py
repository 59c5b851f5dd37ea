from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.sockets.listeners import listening, tell
from benchmarks.sockets.servers import GROUP, serving


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers' output goes there."""
    monkeypatch.setitem(os.environ, "BBB_HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("kind", "application"), [("ceiling-uvloop", ""), ("ceiling-asyncio", ""), ("uvicorn", GROUP), ("daphne", GROUP)]
)
def test_a_crowd_hears_all_that_a_reference_sends_but_for_those_that_do_not_read(kind: str, application: str) -> None:
    with serving(kind, application) as server, listening(server, "/", 4, token="none", stalled=1) as crowd:
        for mark in ("LASTfirst", "LASTsecond"):
            crowd.watch(mark)
            tell(server, 3, mark)
            arrived = crowd.arrival()
            assert (len(arrived.times), arrived.texts, arrived.closed) == (3, 9, 0)
