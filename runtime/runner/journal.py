"""The journal of a run: events.jsonl, numbered lines, redacted and bounded before they touch the disk."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llm import contract
from llm.contract import Update
from security.redaction import redact_data

# Of all text in one line. A tool can read a file of any size; the log needs its beginning.
MAX_TEXT = 64 * 1024
# Redaction sees more than is kept, so that a secret is not saved by being cut in half.
_MAX_SEEN = 4 * MAX_TEXT


class Journal:
    """Appends lines to events.jsonl. One writer per file."""

    def __init__(self, path: Path, *, max_bytes: int = 0) -> None:
        """After `max_bytes` only what is about the run itself is written down; 0: no limit."""
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._seq = 0
        self._max_bytes = max_bytes
        self._is_full = False

    def write(self, kind: str, body: dict[str, Any]) -> None:
        """Append a line. It is with the kernel when this returns, so that our own death does not lose it.

        In a file that is full this is left out where it is of what the agent says, which may be without end.
        """
        if _is_said(kind, body) and self._refuses():
            return
        self._append(kind, body)

    def _refuses(self) -> bool:
        """Tell whether there is no room for more, and say so once."""
        if not self._is_full and 0 < self._max_bytes <= os.fstat(self._file).st_size:
            self._is_full = True
            text = f"The log has {self._max_bytes} bytes, which is all it may have: what the agent says from here on is left out."
            self.system("log_full", text=text)
        return self._is_full

    def _append(self, kind: str, body: dict[str, Any]) -> None:
        self._seq += 1
        safe = _Cut(MAX_TEXT).apply(redact_data(_Cut(_MAX_SEEN).apply(body)))
        line = {"seq": self._seq, "at": datetime.now(UTC).isoformat(), "kind": kind, "body": safe}
        data = json.dumps(line, ensure_ascii=False, default=str).encode(errors="replace") + b"\n"
        while data:
            data = data[os.write(self._file, data) :]

    def system(self, type: str, **body: Any) -> None:
        """Append a line about the run itself."""
        self.write("system", {"type": type, **body})

    def record(self, update: Update) -> None:
        """Append what the client said. The end of a turn leaves no line of its own."""
        match update:
            case contract.Text(text=text):
                self.write("text", {"text": text})
            case contract.Thinking(text=text):
                self.write("thinking", {"text": text})
            case contract.ToolCall():
                self.write("tool_call", {"id": update.id, "name": update.name, "input": dict(update.input)})
            case contract.ToolResult():
                self.write("tool_result", {"id": update.id, "is_error": update.is_error, "text": update.text})
            case contract.Stderr(text=text):
                self.write("stderr", {"text": text})
            case _:
                self._record_system(update)

    def _record_system(self, update: Update) -> None:
        match update:
            case contract.SystemNote(text=text):
                self.system("notice", text=text)
            case contract.SessionStarted():
                self.system("session", **asdict(update))
            case contract.ApiRetry():
                self.system("api_retry", **asdict(update))
            case contract.PermissionDenied():
                self.system("permission_denied", **asdict(update))
            case contract.UsageChanged(usage=usage):
                self.system("usage", **asdict(usage))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        os.fsync(self._file)
        os.close(self._file)


def _is_said(kind: str, body: dict[str, Any]) -> bool:
    return kind != "system" or body.get("type") == "notice"


class _Cut:
    """Keeps so many characters of text in a structure, first come first served."""

    def __init__(self, room: int) -> None:
        self._room = room

    def apply(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {self._text(str(name)): self.apply(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.apply(item) for item in value]
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)  # Python reads 1e999 as a number that JSON, and so the database, does not know
        return value

    def _text(self, text: str) -> str:
        if len(text) <= self._room:
            self._room -= len(text)
            return text
        kept, self._room = text[: self._room], 0
        return f"{kept}… [{len(text) - len(kept)} more characters cut]"
