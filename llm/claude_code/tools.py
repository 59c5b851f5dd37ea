"""The tools by which the agent reports, as an MCP server inside this process."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import structlog
from claude_agent_sdk import create_sdk_mcp_server, tool
from claude_agent_sdk.types import McpSdkServerConfig

from llm.claude_code.options import SERVER
from llm.contract import ToolAnswer, ToolHandlers

log = structlog.get_logger("bbb.llm")

Json = dict[str, Any]


def server(handlers: ToolHandlers) -> McpSdkServerConfig:
    """Return the server whose tools call the handlers."""

    @tool(
        "finish_task",
        "Report that the task is done. The checks run then; if one fails you get its output and go on.",
        _schema(required=["summary"], summary="What was done, in a few sentences.", evidence="How you know it works."),
    )
    async def finish_task(given: Json) -> Json:
        return await _answered(handlers.finish(_text(given, "summary"), _text(given, "evidence")))

    @tool(
        "block_task",
        "Report that you cannot go on with the task.",
        _schema(
            required=["reason", "what_would_unblock"],
            reason="Why you cannot go on.",
            what_would_unblock="What somebody would have to do so that you can.",
        ),
    )
    async def block_task(given: Json) -> Json:
        return await _answered(handlers.block(_text(given, "reason"), _text(given, "what_would_unblock")))

    @tool(
        "request_input",
        "Ask a person one question that only a person can decide. The result is the answer.",
        _schema(required=["question"], question="The question, with all one needs to answer it.", options=None),
    )
    async def request_input(given: Json) -> Json:
        options = [str(option) for option in given.get("options") or []]
        return await _answered(handlers.ask(_text(given, "question"), options))

    return create_sdk_mcp_server(SERVER, tools=[finish_task, block_task, request_input])


def _schema(*, required: list[str], **fields: str | None) -> Json:
    """Return the JSON schema of these texts; None stands for a list of answers to choose from."""
    choices = {"type": "array", "items": {"type": "string"}, "description": "Answers to choose from, if there are any."}
    properties = {
        name: choices if description is None else {"type": "string", "description": description}
        for name, description in fields.items()
    }
    return {"type": "object", "properties": properties, "required": required}


async def _answered(answer: Awaitable[ToolAnswer]) -> Json:
    try:
        said = await answer
    except Exception as error:
        log.exception("report_failed")
        said = ToolAnswer(text=f"The report could not be taken: {type(error).__name__}.", is_error=True)
    return {"content": [{"type": "text", "text": said.text}], "is_error": said.is_error}


def _text(given: Json, name: str) -> str:
    return str(given.get(name) or "")
