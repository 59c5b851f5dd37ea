"""What a benchmark says, and how it is written down.

A group is a module of this package (`benchmarks/latency.py` is the group `latency`); a benchmark is a function in it:

    @benchmark
    def commits() -> Iterator[Figure]:
        yield Figure("commits per second", 812.0, "1/s", beside=1500.0, goal=at_least(0.5, of="ratio"))

Each group runs in a process of its own, with a fresh data folder and a migrated database. A figure of time or speed says
little alone: put beside it what the machine does without us, measured in the same run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

Of = Literal["value", "ratio"]

ON_BOTH = frozenset({"latency", "lifecycle", "tick"})
"""The groups that say something else on each database."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure, or its ratio to what stands beside it, should reach."""

    relation: Literal["<=", ">="]
    bound: float
    of: Of

    def __str__(self) -> str:
        return f"{self.of} {self.relation} {self.bound:g}"


def at_most(bound: float, *, of: Of = "value") -> Goal:
    """Less is better."""
    return Goal("<=", bound, of)


def at_least(bound: float, *, of: Of = "value") -> Goal:
    """More is better."""
    return Goal(">=", bound, of)


@dataclass(frozen=True, slots=True)
class Figure:
    """One result. `beside` is what the bare machine reaches, in the same unit."""

    name: str
    value: float
    unit: str
    beside: float | None = None
    goal: Goal | None = None

    def __post_init__(self) -> None:
        if self.goal is not None and self.goal.of == "ratio" and not self.beside:
            raise ValueError(f"{self.name}: a goal for the ratio needs something beside it")

    @property
    def ratio(self) -> float | None:
        return self.value / self.beside if self.beside else None

    @property
    def verdict(self) -> Literal["ok", "short"]:
        if self.goal is None:
            return "ok"
        reached = self.value if self.goal.of == "value" else self.ratio
        assert reached is not None  # __post_init__ saw to it
        met = reached <= self.goal.bound if self.goal.relation == "<=" else reached >= self.goal.bound
        return "ok" if met else "short"

    def record(self) -> dict[str, Any]:
        """Return the figure as its JSON line says it."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "beside": self.beside,
            "ratio": self.ratio,
            "goal": str(self.goal) if self.goal else None,
            "verdict": self.verdict,
        }

    def __str__(self) -> str:
        beside = f"beside {self.beside:,.4g} (ratio {self.ratio:.3g})" if self.beside else ""
        goal = f"goal {self.goal}" if self.goal else ""
        return f"{self.name:<52} {self.value:>12,.4g} {self.unit:<6} {beside:<32} {goal:<18} {self.verdict}"


def interleaved(ours: Callable[[], float], beside: Callable[[], float], *, rounds: int = 3) -> tuple[float, float]:
    """Measure both in turn, so that what else the machine does meets both, and return the pair with the median ratio."""
    pairs = [(ours(), beside()) for _ in range(rounds)]
    return sorted(pairs, key=lambda pair: pair[0] / pair[1])[rounds // 2]


Benchmark = Callable[[], Iterable[Figure]]
_benchmarks: list[Benchmark] = []


def benchmark(function: Benchmark) -> Benchmark:
    """Enter a function into the group that its module is."""
    _benchmarks.append(function)
    return function


def groups() -> list[str]:
    """Return the names of all groups."""
    folder = Path(__file__).parent
    return sorted(path.stem for path in folder.glob("[a-z]*.py") if path.stem != Path(__file__).stem)


def measure(group: str, results: Path) -> None:
    """Run a group's benchmarks: print each figure when it is there, and append it to `results`. Needs Django set up."""
    import_module(f"benchmarks.{group}")
    for run in [entered for entered in _benchmarks if entered.__module__ == f"benchmarks.{group}"]:
        for figure in run():
            sys.stdout.write(f"{figure}\n")
            sys.stdout.flush()
            with results.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(figure.record(), ensure_ascii=False) + "\n")
