"""Nothing but `events.services` writes into the log: every other line of the project is looked at."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APPS = ("api", "beebeebrain", "events", "inbox", "llm", "orchestration", "runtime", "security", "sql")
TABLE = "events_event"
WRITES = {"create", "bulk_create", "get_or_create", "update_or_create", "update", "bulk_update", "delete", "raw"}
WRITES |= {f"a{name}" for name in WRITES}
# Those that are given the model.
WRITERS = {"insert_all", "write_all", "PreparedUpdate"}


def sources() -> Iterator[Path]:
    for app in APPS:
        for path in sorted((ROOT / app).rglob("*.py")):
            if not {"tests", "migrations", "peers"} & set(path.relative_to(ROOT).parts):
                yield path


def writes(source: str) -> list[str]:
    """Return what in a module makes events, or writes to all of them, by way of the model or by its table's name."""
    tree = ast.parse(source)
    names = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "events.models"
        for alias in node.names
        if alias.name == "Event"
    }
    found = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_write(node, names)]
    literals = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return found + [text for text in literals if TABLE in text]


def _is_write(call: ast.Call, names: set[str]) -> bool:
    chain = ast.unparse(call.func).split("(")[0].split(".")
    is_model = chain[0] in names or chain[:2] == ["models", "Event"]
    last = call.func.attr if isinstance(call.func, ast.Attribute) else chain[0]
    if last in WRITERS:
        given = (node for argument in call.args for node in ast.walk(argument))
        return any(isinstance(node, ast.Name) and node.id in names for node in given)
    return is_model and (last in WRITES or last in names or last == "Event")


def test_only_the_services_write_events() -> None:
    writers = {str(path.relative_to(ROOT)) for path in sources() if writes(path.read_text())}
    assert writers == {"events/services.py"}


@pytest.mark.parametrize(
    "line",
    [
        "Event(type='x').save()",
        "Event.objects.create(type='x')",
        "Event.objects.filter(id=1).order_by('id').update(actor='x')",
        "Event.objects.bulk_create([])",
        "write_all(Event, rows)",
        "inserts.insert_all(Event, rows)",
        "PreparedUpdate(lambda ids: (Event.objects.filter(pk__in=ids), {'actor': 'x'}))",
        "cursor.execute('DELETE FROM events_event')",
    ],
)
def test_each_way_to_write_is_seen(line: str) -> None:
    assert writes(f"from events.models import Event\n{line}")


def test_reading_is_no_writing() -> None:
    assert not writes("from events.models import Event\nEvent.objects.filter(id__gt=1).order_by('id').first()")
