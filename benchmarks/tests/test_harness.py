from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import harness
from benchmarks.__main__ import main
from benchmarks.harness import Figure, Goal, at_least, at_most


@pytest.mark.parametrize(
    ("goal", "verdict"),
    [
        (None, "ok"),
        (at_most(10), "ok"),
        (at_most(9.9), "short"),
        (at_least(10), "ok"),
        (at_least(10.1), "short"),
        (at_most(2, of="ratio"), "ok"),
        (at_most(1.9, of="ratio"), "short"),
        (at_least(2.1, of="ratio"), "short"),
    ],
)
def test_a_figure_is_short_when_it_misses_its_goal(goal: Goal | None, verdict: str) -> None:
    assert Figure("runs", 10.0, "1/s", beside=5.0, goal=goal).verdict == verdict


def test_a_goal_for_the_ratio_needs_something_beside() -> None:
    with pytest.raises(ValueError, match="beside"):
        Figure("runs", 10.0, "1/s", goal=at_least(0.5, of="ratio"))


def test_a_figure_prints_as_one_line() -> None:
    line = str(Figure("runs", 1234.5, "1/s", beside=5.0, goal=at_least(1)))
    assert "\n" not in line
    assert line.startswith("runs ")
    assert line.endswith(" ok")


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> str:
    """A group of one benchmark with two figures."""
    module = ModuleType("benchmarks.example")
    monkeypatch.setitem(sys.modules, "benchmarks.example", module)
    monkeypatch.setattr(harness, "_benchmarks", [])

    def honey() -> Iterator[Figure]:
        yield Figure("combs", 3.0, "1/s", beside=6.0, goal=at_least(0.6, of="ratio"))
        yield Figure("bees", 7.0, "")

    honey.__module__ = module.__name__
    harness.benchmark(honey)
    return "example"


def test_figures_are_written_as_json_lines(group: str, tmp_path: Path) -> None:
    harness.measure(group, tmp_path / "out.jsonl")
    first, second = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert first == {
        "name": "combs",
        "value": 3.0,
        "unit": "1/s",
        "beside": 6.0,
        "ratio": 0.5,
        "goal": "ratio >= 0.6",
        "verdict": "short",
    }
    assert (second["name"], second["ratio"], second["goal"], second["verdict"]) == ("bees", None, None, "ok")


def test_figures_are_printed_as_well(group: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    harness.measure(group, tmp_path / "out.jsonl")
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["combs", "bees"]


def test_a_group_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nonsense"]) == 2
    assert "no such group: nonsense" in capsys.readouterr().err
