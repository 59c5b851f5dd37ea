"""The trace of a run: the lines of its log, read as steps. A step is a tool call and what it came to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

# Of an argument or a result, in the evidence that a person reads.
_EXCERPT = 300


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a run's log."""

    seq: int
    at: datetime
    kind: str
    body: dict[str, Any]

    @property
    def type(self) -> str:
        """Return what a system line is about; empty for any other."""
        return str(self.body.get("type", "")) if self.kind == "system" else ""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A tool call. `text` is None while it is under way."""

    id: str
    seq: int
    at: datetime
    name: str
    input: dict[str, Any] = field(default_factory=dict)
    text: str | None = None
    is_error: bool = False

    @property
    def shown(self) -> str:
        """Return the call as a person reads it."""
        return excerpt(f"{self.name} {json.dumps(self.input, ensure_ascii=False, default=str)}")

    @property
    def result(self) -> str:
        """Return the end of the result, where it says what is wrong."""
        return excerpt(self.text or "", from_end=True)


@dataclass(frozen=True)
class Trace:
    """What a run's log tells of the present turn, and for how long nothing more has come."""

    steps: tuple[Step, ...]
    """Calls of this turn, oldest first."""
    last: Line | None
    """The last line that came from the agent or its client; what we told it is no sign of life."""
    silence_s: float = 0.0

    @property
    def done(self) -> list[Step]:
        """Return the calls that have a result."""
        return [step for step in self.steps if step.text is not None]

    @property
    def under_way(self) -> list[Step]:
        """Return the calls that have none yet."""
        return [step for step in self.steps if step.text is None]


def read(lines: Sequence[Line], *, silence_s: float = 0.0) -> Trace:
    """Return the trace of these lines, oldest first.

    A turn begins with the client's `session` line. What was called before it is over: the agent has been told
    something since, or it was another process.
    """
    begin = max((index for index, line in enumerate(lines) if line.type == "session"), default=0)
    last = next((line for line in reversed(lines) if line.type != "nudge"), None)
    return Trace(tuple(_steps(lines[begin:])), last, silence_s)


def excerpt(text: str, *, from_end: bool = False) -> str:
    """Return text short enough to be evidence."""
    if len(text) <= _EXCERPT:
        return text
    return f"…{text[-_EXCERPT:]}" if from_end else f"{text[:_EXCERPT]}…"


def _steps(lines: Iterable[Line]) -> list[Step]:
    steps: dict[str, Step] = {}
    for line in lines:
        id_ = str(line.body.get("id", ""))
        if line.kind == "tool_call":
            given = line.body.get("input")
            arguments = given if isinstance(given, dict) else {}
            name = str(line.body.get("name", ""))
            steps[id_] = Step(id=id_, seq=line.seq, at=line.at, name=name, input=arguments)
        elif line.kind == "tool_result" and id_ in steps:
            steps[id_] = _answered(steps[id_], line)
    return list(steps.values())


def _answered(step: Step, line: Line) -> Step:
    return Step(
        id=step.id,
        seq=line.seq,
        at=step.at,
        name=step.name,
        input=step.input,
        text=str(line.body.get("text") or ""),
        is_error=bool(line.body.get("is_error")),
    )
