"""The items of a Markdown checklist: their lines, how they are nested, what is written below each.

Nothing is lost in silence: a line right below an item belongs to it or is an item itself, else it is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from beebeebrain.cli.errors import CliError, ExitCode

_BOX = re.compile(r" *(?:[-*+]|\d{1,9}[.)]) +\[(?P<mark>[^\]]?)\](?: +(?P<words>.*))?")
_FENCE = re.compile(r" *(?P<fence>`{3,}|~{3,})")
_TAB = 4


class Fault(NamedTuple):
    """What is wrong in a line."""

    line: int
    message: str


class PlanError(CliError):
    """A plan cannot be read."""

    code = "invalid_plan"
    exit_code = ExitCode.USAGE

    def __init__(self, name: str, faults: list[Fault]) -> None:
        self.name = name
        self.faults = sorted(faults)
        count = "an error" if len(faults) == 1 else f"{len(faults)} errors"
        super().__init__(f"{name} has {count}; nothing was sent.")

    def problem(self) -> dict[str, object]:
        faults = [{"code": self.code, "detail": message, "line": line} for line, message in self.faults]
        return {**super().problem(), "errors": faults}

    def lines(self) -> list[str]:
        return [*(f"{self.name}:{line}: {message}" for line, message in self.faults), f"code {self.code}"]


class BodyLine(NamedTuple):
    """A line below an item; in a block of code it means nothing but itself."""

    text: str
    is_code: bool


@dataclass
class Item:
    """One item with a box."""

    line: int
    indent: int
    is_done: bool
    words: str
    parent: Item | None
    body: list[BodyLine] = field(default_factory=list)

    def ancestors(self) -> Iterator[Item]:
        """Yield the items it is a part of, the nearest first."""
        whole = self.parent
        while whole is not None:
            yield whole
            whole = whole.parent


@dataclass
class _Reader:
    """Reads line after line. `path` holds the items the next line may belong to, the innermost last."""

    items: list[Item] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    path: list[Item] = field(default_factory=list)
    fence: str = ""
    fence_line: int = 0
    is_below_item: bool = False

    def take(self, number: int, raw: str) -> None:
        """Take the next line. Tabs count as spaces for what belongs to what; the text keeps them."""
        line = raw.expandtabs(_TAB)
        if self.fence:
            self._take_code(raw)
        elif not line.strip():
            self._add(raw)
            self.is_below_item = False
        elif box := _BOX.fullmatch(line):
            self._open(number, line, box)
        else:
            self._take_text(number, line, raw)

    def finish(self) -> None:
        if self.fence:
            self.faults.append(Fault(self.fence_line, f"this block of code has no end; close it with {self.fence}"))

    def _open(self, number: int, line: str, box: re.Match[str]) -> None:
        mark, words = box["mark"], (box["words"] or "").strip()
        if mark not in (" ", "x", "X"):
            self.faults.append(Fault(number, f"a box is [ ] or [x], not [{mark}]"))
        elif not words:
            self.faults.append(Fault(number, "this item has no title"))
        indent = _indent(line)
        self._leave(indent)
        parent = self.path[-1] if self.path else None
        item = Item(number, indent, mark in "xX" and mark != "", words, parent)
        self.items.append(item)
        self.path.append(item)
        self.is_below_item = True

    def _take_text(self, number: int, line: str, raw: str) -> None:
        self._leave(_indent(line))
        if fence := _FENCE.match(line):
            self.fence, self.fence_line = fence["fence"], number
        if self.path:
            self._add(raw)
            self.is_below_item = True
            return
        if self.is_below_item and not line.startswith("#"):
            told = "this belongs to no item: indent it, give it a box, or put an empty line before it"
            self.faults.append(Fault(number, told))
        self.is_below_item = False

    def _take_code(self, raw: str) -> None:
        self._add(raw)
        stripped = raw.strip()
        if stripped.startswith(self.fence) and not stripped.strip(self.fence[0]):
            self.fence = ""

    def _add(self, raw: str) -> None:
        if self.path:
            self.path[-1].body.append(BodyLine(raw, bool(self.fence)))

    def _leave(self, indent: int) -> None:
        while self.path and self.path[-1].indent >= indent:
            self.path.pop()


def read(text: str, *, name: str) -> list[Item]:
    """Return the items in their order. Raises PlanError."""
    reader = _Reader()
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        reader.take(number, line.rstrip())
    reader.finish()
    if reader.faults:
        raise PlanError(name, reader.faults)
    return reader.items


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
