"""How loud a line of a run's log is."""

from __future__ import annotations

from typing import Any

from events.states import Level
from runtime.states import LogKind

# Of the lines about the run itself.
_WARNINGS = frozenset({"permission_denied", "api_retry", "log_full"})
_CHATTER = frozenset({"usage"})


def level_of(kind: str, body: Any) -> Level:
    """Return the level of a line: an error where something was written to stderr, a warning where something did not work."""
    said: dict[str, Any] = body if isinstance(body, dict) else {}
    if kind == LogKind.STDERR:
        return Level.ERROR
    if kind == LogKind.THINKING or said.get("type") in _CHATTER:
        return Level.DEBUG
    has_failed = bool(said.get("is_error") or said.get("exit_code"))
    return Level.WARNING if has_failed or said.get("type") in _WARNINGS else Level.INFO
