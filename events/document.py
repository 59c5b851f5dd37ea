"""What is written from the schemas: docs/events.md, docs/events.schema.json and docs/events.d.ts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from events import envelopes
from events.envelopes import SCHEMA_VERSION, Envelope
from events.schemas import SCHEMAS, Payload
from events.states import CHAINED, EventType
from events.typescript import declarations


def markdown() -> str:
    """Return docs/events.md."""
    types = [_row(type_) for type_ in sorted(EventType)]
    payloads = sorted(set(SCHEMAS.values()), key=lambda schema: schema.__name__)
    parts = [
        _HEAD,
        *_fields(Envelope),
        _TYPES,
        *types,
        _PAYLOADS,
        *(line for each in payloads for line in _payload(each)),
    ]
    return "\n".join([*parts, ""])


def schema_text() -> str:
    """Return docs/events.schema.json."""
    return json.dumps(envelopes.json_schema(), indent=2, ensure_ascii=False) + "\n"


def typescript() -> str:
    """Return docs/events.d.ts."""
    return declarations(envelopes.json_schema(), version=SCHEMA_VERSION)


FORMATS = {"markdown": markdown, "jsonschema": schema_text, "typescript": typescript}


def _row(type_: EventType) -> str:
    schema = SCHEMAS[type_]
    kept = "yes" if type_ in CHAINED else "no"
    return f"| `{type_}` | [{schema.__name__}](#{schema.__name__.lower()}) | {kept} |"


def _payload(schema: type[Payload]) -> Iterator[str]:
    yield from ("", f"### {schema.__name__}", "", " ".join((schema.__doc__ or "").split()), "", _FIELDS)
    yield from _fields(schema)


def _fields(model: type[Any]) -> Iterator[str]:
    schema = model.model_json_schema()
    for name, found in schema["properties"].items():
        default = "" if name in schema.get("required", []) else f"`{json.dumps(found.get('default'))}`"
        yield f"| `{name}` | {_kind(found)} | {default} | {found.get('description', '')} |"


def _kind(found: dict[str, Any]) -> str:
    if "anyOf" in found:
        return " or ".join(_kind(each) for each in found["anyOf"])
    if "enum" in found:
        return ", ".join(f"`{value}`" for value in found["enum"])
    if "$ref" in found:
        return "object, by the type"
    if found.get("format") == "date-time":
        return "time"
    kind = f"list of {_kind(found['items'])}s" if found.get("type") == "array" else str(found["type"])
    return f"{kind}, at most {found['maxLength']} characters" if "maxLength" in found else kind


_FIELDS = "| field | type | where it is missing | |\n|---|---|---|---|"
_HEAD = f"""# Events

Everything that happens is an event in one log: it is the audit trail, and what the streams carry. `GET /api/v1/events`, the WebSocket, the
stream over SSE and `manage.py export_events` show an event in the same way:

{_FIELDS}"""
_TYPES = f"""
Schema version {SCHEMA_VERSION}. [events.schema.json](events.schema.json) is the JSON Schema, [events.d.ts](events.d.ts) has the types for TypeScript. Schemas
only grow: ignore types and fields you do not know, and take the default where a field is missing. What would have to change its
meaning gets a new type. Should that ever be impossible, the version rises.

* `level` is what the list filters by: `error` for a failure, `warning` for an alert, a refusal and what is blocked or interrupted, else `info`. A
  line in `run.log` has the level that its writer gave it.
* A *chained* event is a control event: it is kept for ever unless BBB_KEEP_EVENTS_DAYS says otherwise, and carries a hash over itself
  and its predecessor ([operations.md](operations.md)). The others come in floods and are pruned after BBB_KEEP_PROGRESS_DAYS.
* Secrets are masked before anything is written.

This page is written from the code by `make openapi`.

## Types

| type | payload | chained |
|---|---|---|"""
_PAYLOADS = """
## Payloads"""
