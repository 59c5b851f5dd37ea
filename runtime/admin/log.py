"""A run's log as a person reads it: a transcript, page by page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Max, Min

from runtime.models import RunLog, TaskRun
from runtime.states import LogKind

# Lines on the page of a run. Earlier ones are on earlier pages.
SHOWN = 200
# So much of what a line says is on the page; the line's own page has the rest.
MAX_LINES = 20
MAX_TEXT = 2000
_MAX_HEAD = 160
# What of a line about the run is said elsewhere: by its type, below it, or by the sums beside it.
_UNSAID = frozenset({"type", "text", "models", "tools", "session_id", "token_cache_read", "token_cache_write"})
# What of a tool's arguments says best what the call is about.
_TELLING = ("command", "file_path", "notebook_path", "pattern", "path", "url", "query", "question", "summary", "reason")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line as it is shown: `head` in one line, `text` below it, `folded` behind a click."""

    line: RunLog
    head: str
    text: str = ""
    folded: str = ""
    is_error: bool = False
    cut: int = 0
    """Lines of the text that are left out."""


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """A page of a run's log; `earlier` and `later` are what its neighbours end before, None where there is none."""

    entries: list[Entry]
    earlier: int | None
    later: int | None
    last_seq: int


def transcript(run: TaskRun, *, before: int | None = None) -> Transcript:
    """Return the lines of a run in front of line `before`, or its last; the oldest first."""
    ends = run.lines.aggregate(first=Min("seq"), last=Max("seq"))
    rows = run.lines.filter(seq__lt=before) if before is not None else run.lines.all()
    lines = list(rows.order_by("-seq")[:SHOWN])[::-1]
    first, last = (lines[0].seq, lines[-1].seq) if lines else (ends["first"] or 0, ends["last"] or 0)
    return Transcript(
        entries=[entry_of(line) for line in lines],
        earlier=first if lines and first > ends["first"] else None,
        later=last + SHOWN + 1 if lines and last < ends["last"] else None,
        last_seq=ends["last"] or 0,
    )


def entry_of(line: RunLog) -> Entry:
    """Return a line as the transcript shows it."""
    body = line.body
    if line.kind == LogKind.TOOL_CALL:
        arguments = body.get("input", {})
        return Entry(
            line=line, head=f"{body.get('name', '')} {_telling(arguments)}".strip(), folded=_indented(arguments)
        )
    if line.kind == LogKind.SYSTEM:
        return _system(line)
    said, is_error = str(body.get("text", "")) or _json(body), bool(body.get("is_error"))
    text, cut = _cut(said)
    return Entry(line=line, head="", text=text, cut=cut, is_error=is_error or line.kind == LogKind.STDERR)


def text_of(line: RunLog) -> str:
    """Return what a line says in one text, as lists show it."""
    entry = entry_of(line)
    return f"{entry.head} {entry.text}".strip()


def _system(line: RunLog) -> Entry:
    """Say what happened to the run itself: the type, its facts in one line, and what was printed below."""
    facts = {name: value for name, value in line.body.items() if name not in _UNSAID and value != ""}
    head, (text, cut) = f"{line.body.get('type', '')} {_facts(facts)}".strip(), _cut(str(line.body.get("text", "")))
    is_error = bool(facts.get("exit_code")) or line.body.get("type") in {"permission_denied", "api_retry"}
    is_long = len(head) > _MAX_HEAD
    folded = _indented(facts) if is_long else ""
    return Entry(line=line, head=_short(head), text=text, folded=folded, cut=cut, is_error=is_error)


def _facts(facts: Mapping[str, Any]) -> str:
    texts = (f"{name}: {text}" for name, text in _texts(facts))
    return " · ".join(texts)


def _telling(arguments: Any) -> str:
    if not isinstance(arguments, dict):
        return _short(_json(arguments))
    told = next((arguments[name] for name in _TELLING if isinstance(arguments.get(name), str)), None)
    return _short(told if told is not None else _json(arguments) if arguments else "")


def _short(text: str) -> str:
    first, *rest = text.strip().splitlines() or [""]
    return first if not rest and len(first) <= _MAX_HEAD else f"{first[:_MAX_HEAD]}…"


def _cut(text: str) -> tuple[str, int]:
    """Return the beginning of a text, and how many of its lines are left out, wholly or in part."""
    lines = text.splitlines()
    kept = "\n".join(lines[:MAX_LINES])[:MAX_TEXT]
    shown = kept.count("\n") + 1 if kept else 0
    is_whole = len(kept) == len("\n".join(lines))
    return kept, 0 if is_whole else max(1, len(lines) - shown)


def _indented(value: Any) -> str:
    """Return arguments as a person reads them: texts of several lines as such, the rest as JSON. Bounded."""
    if not isinstance(value, dict):
        return _json(value)[: 4 * MAX_TEXT]
    parts = [f"{name}: {text}" if "\n" not in text else f"{name}:\n{text}" for name, text in _texts(value)]
    whole = "\n".join(parts)
    return whole if len(whole) <= 4 * MAX_TEXT else f"{whole[: 4 * MAX_TEXT]}…"


def _texts(value: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(str(name), item if isinstance(item, str) else _json(item)) for name, item in value.items()]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
