"""A run's log lines as a person reads them."""

from __future__ import annotations

import json
from typing import Any

from runtime.models import RunLog, TaskRun
from runtime.states import LogKind

# What the page of a run shows; the list of lines has the rest.
SHOWN = 500
_MAX_TEXT = 2000


def last_lines(run: TaskRun) -> list[RunLog]:
    """Return the end of a run's log, in order."""
    return list(run.lines.order_by("-seq")[:SHOWN])[::-1]


def text_of(line: RunLog) -> str:
    """Return what a line says, cut to what one reads."""
    text = _text(line.kind, line.body)
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"


def _text(kind: str, body: dict[str, Any]) -> str:
    if kind == LogKind.TOOL_CALL:
        return f"{body.get('name', '')} {_json(body.get('input', {}))}"
    if kind == LogKind.SYSTEM:
        rest = {name: value for name, value in body.items() if name != "type"}
        return f"{body.get('type', '')} {_json(rest) if rest else ''}".strip()
    return str(body.get("text", "")) or _json(body)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
