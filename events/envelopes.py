"""An event as it is read: one model a type, told apart by `type`. What a reader does not know it ignores.

The schemas only grow: a field that is added has a default, none is removed or given another meaning, and what has to be
said in another way gets a type of its own. Should that ever be impossible, SCHEMA_VERSION rises.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model

from events.schemas import SCHEMAS, Payload
from events.states import EventType

SCHEMA_VERSION = 1


class Envelope(BaseModel):
    """What every event has."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: int = Field(description="The cursor: events are in the order of their ids, and that is the order of commits.")
    at: datetime
    type: str
    project_id: int | None
    task_id: int | None
    run_id: int | None
    agent_id: int | None = Field(None, description="The agent that did it, or whose run it is about.")
    level: Literal["debug", "info", "warning", "error"] = "info"
    actor: str = Field(description="Who did it: `user:ada`, `token:3`, `agent:3`, `scheduler:…`.")
    trace_id: str = Field(
        description="Joins the event to the request, the log lines and the other events it belongs to."
    )
    payload: Payload


def name_of(type_: EventType) -> str:
    """Return what the model of a type is called: `TaskCreatedEvent`."""
    return "".join(word.capitalize() for word in type_.replace("_", ".").split(".")) + "Event"


def _model(type_: EventType) -> type[Envelope]:
    fields: dict[str, Any] = {"type": (Literal[type_.value], ...), "payload": (SCHEMAS[type_], ...)}
    return create_model(name_of(type_), __base__=Envelope, __doc__=SCHEMAS[type_].__doc__, **fields)


MODELS: dict[str, type[Envelope]] = {type_.value: _model(type_) for type_ in EventType}
# Of members that are known only when it runs.
_UNION: Any = Union[tuple(MODELS.values())]  # noqa: UP007 # `|` takes no list of them
_ANY: TypeAdapter[Any] = TypeAdapter(Annotated[_UNION, Field(discriminator="type")])


def read(shown: Mapping[str, Any]) -> Envelope | None:
    """Return an event as API, stream and export show it; None for a type of a later version. Raises ValidationError."""
    found: Envelope | None = _ANY.validate_python(shown) if shown.get("type") in MODELS else None
    return found


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of any event."""
    schema: dict[str, Any] = _untitled(_ANY.json_schema())
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:beebeebrain:events:{SCHEMA_VERSION}",
        "title": "Event",
        "description": "What API, stream and export show. Ignore types and fields that are not here: later versions add some.",
    }
    return head | schema


def _untitled(schema: Any) -> Any:
    """Leave out the titles that pydantic makes of names. (A field may be called so; what it holds is no string.)"""
    if isinstance(schema, dict):
        return {
            name: _untitled(found) for name, found in schema.items() if not (name == "title" and isinstance(found, str))
        }
    return [_untitled(each) for each in schema] if isinstance(schema, list) else schema
