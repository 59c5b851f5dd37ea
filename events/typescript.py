"""JSON Schema as TypeScript: interfaces, and one union of all events that `type` tells apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_HEAD = """// Written by `make openapi` from events/schemas.py.
// What API, stream and export show of events. Ignore types and fields that are not here: later versions add some.

"""
_PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}


def declarations(schema: Schema, *, version: int) -> str:
    """Return the declarations of a schema whose `oneOf` is the union of events: alike but for `type` and `payload`."""
    defs: dict[str, Schema] = schema["$defs"]
    events = {_type(member): defs[_type(member)] for member in schema["oneOf"]}
    blocks = [
        f"export declare const SCHEMA_VERSION: {version};\n",
        _envelope(next(iter(events.values()))),
        *(_interface(name, found) for name, found in sorted(defs.items()) if name not in events),
        *(_event(name, found) for name, found in events.items()),
        "export type Event =\n" + "\n".join(f"  | {name}" for name in events) + ";\n",
        'export type EventType = Event["type"];\n',
    ]
    return _HEAD + "\n".join(blocks)


def _envelope(event: Schema) -> str:
    generic = {"type": {"$ref": "Type"}, "payload": {"$ref": "Payload"}}
    shared = {**event, "properties": {**event["properties"], **generic}, "description": "What every event has."}
    return _interface("Envelope<Type extends string, Payload>", shared)


def _event(name: str, schema: Schema) -> str:
    of = schema["properties"]
    return f"export type {name} = Envelope<{_type(of['type'])}, {_type(of['payload'])}>;"


def _interface(name: str, schema: Schema) -> str:
    required = schema.get("required", [])
    lines = [*_comment(schema, ""), f"export interface {name} {{"]
    for field, found in schema["properties"].items():
        lines += _comment(found, "  ")
        lines.append(f"  {field}{'' if field in required else '?'}: {_type(found)};")
    return "\n".join([*lines, "}", ""])


def _comment(schema: Schema, indent: str) -> Iterator[str]:
    if text := schema.get("description"):
        yield f"{indent}/** {' '.join(text.split())} */"


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(map(json.dumps, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(map(_type, schema["anyOf"]))
    if schema.get("type") == "array":
        return f"Array<{_type(schema['items'])}>"
    if schema.get("type") == "object":
        return "Record<string, unknown>"
    return _PLAIN[schema["type"]]
