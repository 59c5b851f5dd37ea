"""Translate what the SDK yields into updates of the contract. What is unknown is ignored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from claude_agent_sdk import (
    AssistantMessage,
    Message,
    RateLimitEvent,
    ResultMessage,
    SystemMessage,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
)

from llm.claude_code import failures
from llm.claude_code.failures import Report
from llm.claude_code.options import SERVER
from llm.claude_code.usage import UsageMeter
from llm.contract import (
    ApiRetry,
    Failure,
    PermissionDenied,
    SessionStarted,
    SystemNote,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    TurnEnded,
    Update,
    UsageChanged,
)

# The model of what the client says in the agent's place, such as "API Error: …".
_SYNTHETIC = "<synthetic>"
# A deny rule on a file is the one refusal that the client reports nowhere but in the result.
_DENIED = "denied by your permission settings"
_INCIDENTS = {"hook_callback_failed", "hook_no_verdict"}


@dataclass
class Translator:
    """The words of one client process. `failure` is set when it must not go on."""

    meter: UsageMeter
    failure: Failure | None = None
    _model: str = ""
    _error: str = ""
    _limit_resets_at: float | None = None
    _unpriced: set[str] = field(default_factory=set)
    _calls: dict[str, str] = field(default_factory=dict)
    """Names of the tools called, by the id of the call, until their results come."""

    def updates(self, message: Message) -> Iterator[Update]:
        """Yield what a message means; a TurnEnded for a result."""
        match message:
            case AssistantMessage():
                yield from self._assistant(message)
            case UserMessage(content=list(blocks)):
                for block in blocks:
                    if isinstance(block, ToolResultBlock):
                        yield from self._tool_result(block)
            case ResultMessage():
                yield from self._result(message)
            case SystemMessage():
                yield from self._system(message.subtype, message.data)
            case RateLimitEvent(rate_limit_info=info) if info.status == "rejected":
                self._limit_resets_at = float(info.resets_at) if info.resets_at else None
                yield SystemNote(text=f"The plan's limit ({info.rate_limit_type}) is used up.")

    def _assistant(self, message: AssistantMessage) -> Iterator[Update]:
        if message.error:
            self._error = message.error
        if message.model == _SYNTHETIC:
            texts = [block.text for block in message.content if isinstance(block, TextBlock)]
            yield SystemNote(text="\n".join(texts))
            return
        said = [update for block in message.content if (update := _block(block)) is not None]
        self._calls.update({update.id: update.name for update in said if isinstance(update, ToolCall)})
        yield from said
        if message.message_id and message.usage:
            # The client accounts under the name it asked for, which a gateway may answer with another.
            model = message.model if message.parent_tool_use_id else self._model
            if self.meter.message(message.message_id, model, message.usage, _written(said)):
                yield UsageChanged(usage=self.meter.usage())

    def _tool_result(self, block: ToolResultBlock) -> Iterator[Update]:
        name, text = self._calls.pop(block.tool_use_id, ""), _content(block)
        if block.is_error and _DENIED in text:
            yield PermissionDenied(tool_name=name, message=text)
        yield ToolResult(id=block.tool_use_id, text=text, is_error=bool(block.is_error))

    def _result(self, message: ResultMessage) -> Iterator[Update]:
        yield from self._unknown_prices(message)
        self.meter.result(message.model_usage, message.total_cost_usd, message.num_turns)
        yield UsageChanged(usage=self.meter.usage())
        report = Report(
            subtype=message.subtype,
            is_error=message.is_error,
            terminal_reason=message.terminal_reason or "",
            stop_reason=message.stop_reason or "",
            status=message.api_error_status,
            error=self._error,
            text=message.result or "; ".join(message.errors or []),
            limit_resets_at=self._limit_resets_at,
        )
        self._error = ""
        failure = failures.classify(report)
        text = message.result or "" if failure is None else ""
        yield TurnEnded(text=text, is_interrupted=report.is_interrupted, failure=failure)

    def _unknown_prices(self, message: ResultMessage) -> Iterator[Update]:
        for model, used in (message.model_usage or {}).items():
            basis: Any = dict(used).get("costBasis", "list")
            if basis == "unknown" and model not in self._unpriced:
                self._unpriced.add(model)
                yield SystemNote(text=f"The price of {model} is unknown; its cost is the client's guess.")

    def _system(self, subtype: str, data: dict[str, Any]) -> Iterator[Update]:
        match subtype:
            case "init":
                yield from self._init(data)
            case "api_retry":
                yield from self._api_retry(data)
            case "permission_denied":
                yield PermissionDenied(tool_name=str(data.get("tool_name", "")), message=str(data.get("message", "")))
            case "informational" | "notification":
                yield from self._informational(data)
            case "model_fallback":
                yield SystemNote(text=f"Model {data.get('original_model')} → {data.get('fallback_model')}.")
            case "compact_boundary":
                yield SystemNote(text=f"The conversation was compacted: {json.dumps(data.get('compact_metadata'))}")

    def _init(self, data: dict[str, Any]) -> Iterator[Update]:
        """Each turn begins with it; the session only once."""
        servers = {str(server.get("name")): str(server.get("status")) for server in data.get("mcp_servers", [])}
        if servers.get(SERVER) != "connected":
            status = servers.get(SERVER, "missing")
            self.failure = Failure(
                code="protocol", message=f"The agent's tools are not connected: {SERVER} is {status}."
            )
        if not self._model:
            self._model = str(data.get("model") or "unknown")
            yield SessionStarted(
                session_id=str(data.get("session_id", "")),
                model=self._model,
                tools=tuple(map(str, data.get("tools", []))),
            )

    def _api_retry(self, data: dict[str, Any]) -> Iterator[Update]:
        status = data.get("error_status")
        yield ApiRetry(
            attempt=int(data.get("attempt") or 0),
            max_retries=int(data.get("max_retries") or 0),
            delay_s=float(data.get("retry_delay_ms") or 0) / 1000,
            status=status if isinstance(status, int) else None,
            error=str(data.get("error") or ""),
        )
        self.failure = failures.of_retry(status if isinstance(status, int) else None) or self.failure

    def _informational(self, data: dict[str, Any]) -> Iterator[Update]:
        text = str(data.get("content") or data.get("text") or "")
        yield SystemNote(text=text)
        if data.get("tag") in _INCIDENTS:
            self.failure = Failure(code="permission", message=f"A hook of ours gave no verdict: {text}")


def _block(block: object) -> Update | None:
    match block:
        case TextBlock(text=text):
            return Text(text=text)
        case ThinkingBlock(thinking=text) if text:
            return Thinking(text=text)
        case ToolUseBlock(id=call, name=name, input=given):
            return ToolCall(id=call, name=name, input=given)
    return None


def _written(said: list[Update]) -> str:
    """Return the text the provider counts as output."""
    return "".join(
        json.dumps(dict(update.input)) if isinstance(update, ToolCall) else update.text
        for update in said
        if isinstance(update, Text | Thinking | ToolCall)
    )


def _content(block: ToolResultBlock) -> str:
    if isinstance(block.content, list):
        return "\n".join(str(part.get("text", f"[{part.get('type')}]")) for part in block.content)
    return block.content or ""
