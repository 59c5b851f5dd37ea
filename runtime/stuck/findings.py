"""What a detector says, and by which measure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """In which way a run gets nowhere."""

    IDLE = "idle"
    """Nothing was heard for too long."""
    REPEAT = "repeat"
    """The same calls come to the same again and again."""
    ERRORS = "errors"
    """Nearly every call fails."""


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Where healthy ends. Counts are of tool calls that have a result."""

    idle_timeout_s: float = 300
    tool_timeout_s: float = 660
    """The same while a tool call of the agent's is under way."""
    repeat_window: int = 12
    repeat_threshold: float = 0.6
    error_window: int = 10
    error_min_calls: int = 8
    error_rate_threshold: float = 0.8


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One way in which a run gets nowhere, and what shows it."""

    kind: Kind
    message: str
    """A sentence for a person."""
    seq: int
    """The last line that counts as evidence."""
    since: datetime
    """When what was found began."""
    evidence: dict[str, Any] = field(default_factory=dict)
    """Numbers, calls and the last result, ready for JSON."""
