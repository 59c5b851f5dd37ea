"""What is printed: text for people, JSON where asked for.

Titles, logs and answers come from agents. Nothing of them may steer the terminal, so no control character passes.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any

import typer

from beebeebrain.cli.errors import ExitCode

# C0 without tab and line feed, DEL, C1, what reorders text, and halves of characters.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def is_terminal() -> bool:
    """Tell whether a person looks at what is printed."""
    return sys.stdout.isatty()


def data(found: Any) -> None:
    """Print an answer of the API as JSON; nothing where there was none."""
    if found is not None:
        _write(_harmless(json.dumps(found, indent=2, ensure_ascii=False)))


def line(found: Any) -> None:
    """Print one row as one line of JSON."""
    _write(_harmless(json.dumps(found, ensure_ascii=False)))


def text(said: str) -> None:
    """Print text for a person."""
    _write(printable(said))


def note(said: str) -> None:
    """Tell the person something that is no result."""
    sys.stderr.write(f"{printable(said)}\n")
    sys.stderr.flush()


def diff(changes: str) -> None:
    """Print a unified diff, coloured on a terminal."""
    lines = printable(changes).splitlines()
    is_coloured = is_terminal() and not os.environ.get("NO_COLOR")
    _write("\n".join(map(_coloured, lines) if is_coloured else lines))


def printable(said: str) -> str:
    """Return text in which nothing steers a terminal."""
    return _CONTROL.sub("\ufffd", said)


def _coloured(changed: str) -> str:
    for beginning, colour in (("+++", None), ("---", None), ("+", "green"), ("-", "red"), ("@@", "cyan")):
        if changed.startswith(beginning):
            return typer.style(changed, fg=colour, bold=True if colour is None else None)
    return changed


def _harmless(encoded: str) -> str:
    """Return the same JSON with what steers a terminal written as escapes. JSON itself escapes C0."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", encoded)


def _write(said: str) -> None:
    try:
        sys.stdout.write(f"{said}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has enough. What is left in the buffer must not fail again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(ExitCode.PIPE_CLOSED) from None
