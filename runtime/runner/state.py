"""What the parts of one run share: the request, the journal, and how it is to end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from llm.contract import Failure, Usage
from runtime.rundir import Outcome, RunDirectory, RunRequest
from runtime.runner.journal import Journal


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How the run ends, but for what was used."""

    outcome: Outcome
    code: str = ""
    message: str = ""
    retry_after_s: float | None = None
    can_wait: bool = False
    """Whether the tools that run may come to their end first."""

    @classmethod
    def of(cls, failure: Failure) -> Ending:
        return cls(outcome="failed", code=failure.code, message=failure.message, retry_after_s=failure.retry_after_s)


@dataclass
class RunState:
    """The one place where the parts of a run meet. All of it is used from one thread."""

    request: RunRequest
    directory: RunDirectory
    journal: Journal
    started: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)
    """When the client last said something."""
    usage: Usage = field(default_factory=Usage)
    session_id: str = ""
    """Empty until there is a session that can be resumed."""
    last_text: str = ""
    open_calls: set[str] = field(default_factory=set)
    """Tool calls that have no result yet."""
    remarks: int = 0
    """How often the agent was told something in the middle of its turn."""
    report: Ending | None = None
    """What the agent reported; it holds whatever comes after."""
    reported: float = 0.0
    """When it did."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    ending: Ending | None = None
    """Why the run has to stop before its agent is through. Set once."""
    holds: int = 0
    """How many of the agent's calls wait for us: while any does, its silence is ours."""
    asks: int = 0
    """How many of those wait for a person; that time is not the run's."""

    @property
    def is_over(self) -> bool:
        """Whether the agent has nothing more to do here: it has reported, or the run is being stopped."""
        return self.report is not None or self.ending is not None

    @property
    def worked_s(self) -> float:
        """How long the run has worked, without the time it waited for a person."""
        return time.monotonic() - self.started

    def end(self, ending: Ending) -> None:
        """Have the run stopped. The first reason is kept."""
        if self.ending is None:
            self.ending = ending
            self.stop.set()

    def accept(self, report: Ending) -> None:
        """Keep what the agent reported."""
        self.report = report
        self.reported = time.monotonic()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the agent waiting for us."""
        self.holds += 1
        try:
            yield
        finally:
            self.holds -= 1
            self.heard = time.monotonic()

    @contextmanager
    def hold_for_person(self) -> Iterator[None]:
        """Keep the agent waiting for a person. The clock of the run stands still."""
        began, self.asks = time.monotonic(), self.asks + 1
        try:
            with self.hold():
                yield
        finally:
            self.asks -= 1
            self.started += time.monotonic() - began
