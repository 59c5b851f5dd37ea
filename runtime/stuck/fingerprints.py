"""When are two steps the same? When tool, arguments and result are, but for what varies without meaning."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from runtime.stuck.traces import Step

# What an agent says about its call beside what it does.
_REMARKS = frozenset({"description"})
_UNIT = r"(?:ns|us|µs|ms|s|secs?|seconds?|m|mins?|minutes?|h|hours?)"
# Each is linear in the length of the text.
_VARIABLE: list[tuple[re.Pattern[str], str]] = [
    (re.compile(r"\x1b\[[0-9;?]*[A-Za-z]"), ""),
    (re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"), "<uuid>"),
    (re.compile(r"\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?"), "<time>"),
    (re.compile(r"\b(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) {1,2}\d{1,2}\b"), "<time>"),
    (re.compile(r"\b\d{1,2}:\d{2}:\d{2}(?:[.,]\d{1,9})?\b"), "<time>"),
    (re.compile(r"\b1[5-9]\d{8}(?:\d{3}|\.\d{1,9})?\b"), "<time>"),
    (re.compile(rf"\b\d{{1,9}}(?:\.\d{{1,9}})?\s?{_UNIT}\b"), "<duration>"),
    (re.compile(r"\b0x[0-9a-fA-F]{4,16}\b"), "<address>"),
    (re.compile(r"(?i)\b(pids?|process|job)([ =:#]{1,3})\d{1,10}\b"), r"\1\2<pid>"),
    (re.compile(r"(?m)^\[\d{1,4}\] \d{1,10}$"), "[<job>] <pid>"),
]  # fmt: skip
_TEMPORARY = re.compile(r"(/tmp|/var/tmp|/var/folders)/(?:tmp[._-]?\w{4,}|pytest-of-[^/\s]{1,64}/pytest-\d{1,9})")
_SPACE = re.compile(r"\s+")


def fingerprint(step: Step) -> str:
    """Return what two steps have in common when the second says nothing new."""
    said = json.dumps([step.name, _arguments(step.input), step.is_error, result(step.text or "")], ensure_ascii=False)
    return hashlib.sha256(said.encode(errors="replace")).hexdigest()


def result(text: str) -> str:
    """Return a result without times, durations, process ids, addresses and the like."""
    for pattern, stand_in in _VARIABLE:
        text = pattern.sub(stand_in, text)
    return argument(text)


def argument(text: str) -> str:
    """Return an argument without its white space and the names of temporary files."""
    return _SPACE.sub(" ", _TEMPORARY.sub(r"\1/<temporary>", text)).strip()


def _arguments(given: Any) -> Any:
    if isinstance(given, dict):
        return {name: _arguments(given[name]) for name in sorted(given) if name not in _REMARKS}
    if isinstance(given, list):
        return [_arguments(item) for item in given]
    return argument(given) if isinstance(given, str) else given
