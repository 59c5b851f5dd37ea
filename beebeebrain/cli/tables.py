"""Rows and their fields for people: with colours on a terminal, in plain columns elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from unicodedata import east_asian_width

from beebeebrain.cli import output

Row = dict[str, Any]

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
# By the first word of a cell.
_STYLES = {
    "running": "cyan",
    "review": "yellow",
    "open": "yellow",
    "done": "green",
    "succeeded": "green",
    "applied": "green",
    "blocked": "magenta",
    "interrupted": "magenta",
    "failed": "red",
    "refused": "red",
    "conflict": "red",
    "cancelled": "dim",
    "closed": "dim",
}


class Column(NamedTuple):
    """A column: its title, and a field of the row or what makes a value of the row."""

    title: str
    value: str | Callable[[Row], Any]


def listing(columns: Sequence[Column], rows: Sequence[Row], has_more: bool, *, as_json: bool, empty: str) -> None:
    """Print a list: as the rows of the API, or as a table. Says on stderr if there are more."""
    if as_json:
        output.data(rows)
    else:
        table(columns, rows, empty=empty)
    if has_more:
        output.note(f"These are the first {len(rows)}; --limit takes more, --all all of them.")


def table(columns: Sequence[Column], rows: Iterable[Row], *, empty: str) -> None:
    """Print rows in columns; `empty` says on stderr that there are none."""
    titles = [column.title for column in columns]
    cells = [[" ".join(words(_value(row, column)).split()) for column in columns] for row in rows]
    if not cells:
        output.note(empty)
    elif output.is_terminal():
        _print_rich(titles, cells)
    else:
        _print_plain(titles, cells)


def fields(row: Row, *, as_json: bool) -> None:
    """Print a row: as the API has it, or each field that says something."""
    if as_json:
        output.data(row)
    else:
        details((name.replace("_", " "), value) for name, value in row.items())


def details(pairs: Iterable[tuple[str, Any]]) -> None:
    """Print names and values; what is empty is left out, what has several lines is indented."""
    shown = [(name, words(value, between="\n").splitlines()) for name, value in pairs]
    shown = [(name, lines) for name, lines in shown if lines]
    width = max((len(name) for name, _ in shown), default=0)
    for name, (first, *more) in shown:
        output.text("\n".join([f"{name:<{width}}  {first}", *(f"{'':<{width}}  {line}".rstrip() for line in more)]))


def deleted(answer: Any, what: str, *, as_json: bool) -> None:
    """Print what became of a deletion."""
    if as_json:
        output.data(answer)
    else:
        output.text(f"Deleted {what}.")


def words(value: Any, *, between: str = ", ") -> str:
    """Return a value of the API as a person reads it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return between.join(words(item) for item in value)
    if isinstance(value, dict):
        return between.join(f"{name} {words(item)}" for name, item in value.items() if item is not None)
    return moment(value) if isinstance(value, str) else str(value)


def moment(value: str) -> str:
    """Return a time of the API in this machine's time zone; any other text as it is."""
    if not _TIME.match(value):
        return value
    try:
        return datetime.fromisoformat(value).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return value


def _value(row: Row, column: Column) -> Any:
    return row.get(column.value) if isinstance(column.value, str) else column.value(row)


def _print_plain(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    lines = [[title.upper() for title in titles], *cells]
    widths = [max(_width(line[number]) for line in lines) for number in range(len(titles))]
    output.text("\n".join("  ".join(map(_filled, line, widths)).rstrip() for line in lines))


def _filled(value: str, width: int) -> str:
    return value + " " * (width - _width(value))


def _width(value: str) -> int:
    """Return how many columns a text takes: two for each Chinese character."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in value)


def _print_rich(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    # Loaded only here: it would take a third of our start-up.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, header_style="bold", pad_edge=False)
    for number, title in enumerate(titles):
        # The last column is the one that may be long.
        is_last = number == len(titles) - 1
        shown.add_column(title, no_wrap=not is_last, overflow="fold" if is_last else "ellipsis")
    for row in cells:
        shown.add_row(*(Text(output.printable(value), _STYLES.get(value.partition(" ")[0], "")) for value in row))
    Console(highlight=False).print(shown)
