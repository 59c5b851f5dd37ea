"""Build what goes over the wire: messages, server-sent events and errors of the Messages API."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

from llm.standin.conversation import Position
from llm.standin.scenario import STATUSES, Step, Usage

# The name every answer carries, so that nobody takes a script for a model.
MODEL = "scripted-stand-in"
_BYTES_PER_TOKEN = 4
_CHUNK = 60

Json = dict[str, Any]


class NoWorkingDirectory(LookupError):
    """A tool input says {cwd}, but the request does not tell where the client works."""


def message(step: Step, after: Position, *, cwd: str | None, usage: Json) -> Json:
    """Return the answer of a step as the API's message. `after` is the place the script reaches with it."""
    content: list[Json] = []
    if step.thinking is not None:
        content.append({"type": "thinking", "thinking": step.thinking, "signature": "c2NyaXB0ZWQ="})
    if step.text:
        content.append({"type": "text", "text": step.text})
    for tool in step.tools:
        call = f"toolu_{after.mark()}_{uuid.uuid4().hex[:12]}"
        content.append({"type": "tool_use", "id": call, "name": tool.name, "input": _fill(tool.input, cwd)})
    return plain(content, stop_reason=step.stop_reason or ("tool_use" if step.tools else "end_turn"), usage=usage)


def plain(content: list[Json], *, stop_reason: str, usage: Json) -> Json:
    """Return a message with this content, under the stand-in's model name."""
    return {
        "id": f"msg_scripted_{uuid.uuid4().hex[:12]}",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage,
    }


def usage(step: Usage, scenario: Usage, *, asked: int, said: int) -> Json:
    """Return the numbers of the step, else the scenario's, else an estimate from the bytes asked and said."""
    estimate = {
        "input_tokens": -(-asked // _BYTES_PER_TOKEN),
        "output_tokens": -(-said // _BYTES_PER_TOKEN),
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
    }
    return estimate | scenario.model_dump(exclude_none=True) | step.model_dump(exclude_none=True)


def size(step: Step) -> int:
    """Return how many bytes a step says."""
    tools = json.dumps([tool.input for tool in step.tools]) if step.tools else ""
    return len(f"{step.text or ''}{step.thinking or ''}{tools}".encode())


def error(kind: str, text: str, *, request_id: str) -> Json:
    """Return the body of an error answer."""
    return {"type": "error", "error": {"type": kind, "message": text}, "request_id": request_id}


def status(step: Step) -> int:
    """Return the HTTP status of a fault that answers."""
    return step.status or STATUSES[str(step.fault)]


def events(answer: Json) -> Iterator[tuple[str, Json]]:
    """Split a message into the events of a stream, the two that end it included."""
    start = answer | {"content": [], "stop_reason": None, "usage": answer["usage"] | {"output_tokens": 1}}
    yield "message_start", {"message": start}
    for index, block in enumerate(answer["content"]):
        yield "content_block_start", {"index": index, "content_block": _opened(block)}
        for delta in _deltas(block):
            yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}
    end = {"stop_reason": answer["stop_reason"], "stop_sequence": None}
    yield "message_delta", {"delta": end, "usage": {"output_tokens": answer["usage"]["output_tokens"]}}
    yield "message_stop", {}


def encode(name: str, data: Json) -> bytes:
    """Return one server-sent event."""
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()


def _opened(block: Json) -> Json:
    empty: dict[str, Json] = {
        "text": {"text": ""},
        "thinking": {"thinking": "", "signature": ""},
        "tool_use": {"input": {}},
    }
    return block | empty[str(block["type"])]


def _deltas(block: Json) -> Iterator[Json]:
    if block["type"] == "tool_use":
        for piece in _chunks(json.dumps(block["input"])):
            yield {"type": "input_json_delta", "partial_json": piece}
    elif block["type"] == "text":
        for piece in _chunks(block["text"]):
            yield {"type": "text_delta", "text": piece}
    else:
        for piece in _chunks(block["thinking"]):
            yield {"type": "thinking_delta", "thinking": piece}
        yield {"type": "signature_delta", "signature": block["signature"]}


def _chunks(text: str) -> Iterator[str]:
    for start in range(0, len(text), _CHUNK):
        yield text[start : start + _CHUNK]


def _fill(value: Any, cwd: str | None) -> Any:
    if isinstance(value, dict):
        return {key: _fill(item, cwd) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, cwd) for item in value]
    if not isinstance(value, str) or "{cwd}" not in value:
        return value
    if cwd is None:
        raise NoWorkingDirectory(NoWorkingDirectory.__doc__)
    return value.replace("{cwd}", cwd)
