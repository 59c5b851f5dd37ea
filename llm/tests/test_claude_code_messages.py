from __future__ import annotations

from typing import Any

import pytest
from claude_agent_sdk import (
    AssistantMessage,
    Message,
    RateLimitEvent,
    ResultMessage,
    StreamEvent,
    SystemMessage,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
)
from claude_agent_sdk.types import RateLimitInfo

from llm import contract
from llm.claude_code.messages import Translator
from llm.claude_code.sessions import Baseline
from llm.claude_code.usage import UsageMeter
from llm.contract import Update


@pytest.fixture
def translator() -> Translator:
    return Translator(UsageMeter(Baseline()))


def said(translator: Translator, *messages: Message) -> list[Update]:
    updates = [update for message in messages for update in translator.updates(message)]
    return [update for update in updates if not isinstance(update, contract.UsageChanged)]


def system(subtype: str, **data: Any) -> SystemMessage:
    return SystemMessage(subtype=subtype, data={"type": "system", "subtype": subtype, **data})


def init(status: str = "connected") -> SystemMessage:
    servers = [{"name": "bbb", "status": status}]
    return system("init", session_id="s", model="claude-opus-5-5", tools=["Read"], mcp_servers=servers)


def assistant(*blocks: Any, **changes: Any) -> AssistantMessage:
    given: dict[str, Any] = {"model": "m", "message_id": "msg_1", "usage": {"input_tokens": 10}}
    return AssistantMessage(content=list(blocks), **{**given, **changes})


def result(**changes: Any) -> ResultMessage:
    given: dict[str, Any] = {
        "subtype": "success",
        "duration_ms": 1,
        "duration_api_ms": 1,
        "is_error": False,
        "num_turns": 1,
        "session_id": "s",
        "total_cost_usd": 0.006,
        "model_usage": {"claude-opus-5-5": {"inputTokens": 1000, "outputTokens": 100, "costUSD": 0.006}},
    }
    return ResultMessage(**{**given, **changes})


def test_session_begins_once_though_every_turn_says_so(translator: Translator) -> None:
    assert said(translator, init(), init()) == [
        contract.SessionStarted(session_id="s", model="claude-opus-5-5", tools=("Read",))
    ]
    assert translator.failure is None


@pytest.mark.parametrize("message", [init("failed"), system("init", session_id="s", model="m", mcp_servers=[])])
def test_agent_without_its_tools_must_not_go_on(translator: Translator, message: SystemMessage) -> None:
    said(translator, message)
    assert translator.failure is not None
    assert translator.failure.code == "protocol"


def test_blocks_become_updates(translator: Translator) -> None:
    blocks = [
        ThinkingBlock(thinking="hm", signature="s"),
        ThinkingBlock(thinking="", signature="s"),
        TextBlock(text="hi"),
        ToolUseBlock(id="t1", name="Read", input={"file_path": "a"}),
    ]
    assert said(translator, assistant(*blocks)) == [
        contract.Thinking(text="hm"),
        contract.Text(text="hi"),
        contract.ToolCall(id="t1", name="Read", input={"file_path": "a"}),
    ]


def test_tool_results_of_any_shape_become_text(translator: Translator) -> None:
    parts: list[dict[str, Any]] = [{"type": "text", "text": "a"}, {"type": "image", "source": {}}]
    message = UserMessage(
        content=[
            ToolResultBlock(tool_use_id="t1", content="plain"),
            ToolResultBlock(tool_use_id="t2", content=parts, is_error=True),
            ToolResultBlock(tool_use_id="t3", content=None),
            TextBlock(text="a prompt the client made up"),
        ]
    )
    assert said(translator, message, UserMessage(content="a prompt")) == [
        contract.ToolResult(id="t1", text="plain"),
        contract.ToolResult(id="t2", text="a\n[image]", is_error=True),
        contract.ToolResult(id="t3", text=""),
    ]


def test_refusal_by_a_deny_rule_is_on_record(translator: Translator) -> None:
    text = "<tool_use_error>File is in a directory that is denied by your permission settings.</tool_use_error>"
    updates = said(
        translator,
        assistant(ToolUseBlock(id="t1", name="Read", input={})),
        UserMessage(content=[ToolResultBlock(tool_use_id="t1", content=text, is_error=True)]),
    )
    assert contract.PermissionDenied(tool_name="Read", message=text) in updates


def test_what_the_client_says_in_the_agents_place_is_a_note(translator: Translator) -> None:
    message = assistant(TextBlock(text="API Error: 529"), model="<synthetic>", error="server_error")
    assert said(translator, message) == [contract.SystemNote(text="API Error: 529")]
    assert translator.meter.usage().request_count == 0


def test_result_ends_the_turn_with_the_last_text(translator: Translator) -> None:
    assert said(translator, result(result="Done.")) == [contract.TurnEnded(text="Done.")]
    assert translator.meter.usage().cost_usd == 0.006


def test_error_of_the_api_is_a_failure_though_the_result_says_success(translator: Translator) -> None:
    error = assistant(TextBlock(text="API Error"), model="<synthetic>", error="rate_limit")
    updates = said(translator, error, result(is_error=True, api_error_status=429, result="API Error: 429"))
    assert isinstance(updates[-1], contract.TurnEnded)
    assert updates[-1].failure == contract.Failure(code="rate_limited", message="API Error: 429")


def test_error_of_one_turn_does_not_stain_the_next(translator: Translator) -> None:
    error = assistant(TextBlock(text="API Error"), model="<synthetic>", error="rate_limit")
    updates = said(translator, error, result(is_error=True, result="x"), result(is_error=True, result="y"))
    codes = [update.failure.code for update in updates if isinstance(update, contract.TurnEnded) and update.failure]
    assert codes == ["rate_limited", "crashed"]


def test_interrupted_turn_is_neither_done_nor_failed(translator: Translator) -> None:
    message = result(subtype="error_during_execution", is_error=True, terminal_reason="aborted_tools")
    assert said(translator, message) == [contract.TurnEnded(is_interrupted=True)]


def test_used_up_plan_tells_when_it_may_go_on(translator: Translator) -> None:
    info = RateLimitInfo(status="rejected", resets_at=4_000_000_000, rate_limit_type="five_hour")
    event = RateLimitEvent(rate_limit_info=info, uuid="u", session_id="s")
    error = assistant(TextBlock(text="x"), model="<synthetic>", error="rate_limit")
    ended = said(translator, event, error, result(is_error=True, api_error_status=429))[-1]
    assert isinstance(ended, contract.TurnEnded) and ended.failure is not None
    assert ended.failure.code == "usage_limited"
    assert ended.failure.retry_after_s and ended.failure.retry_after_s > 0


def test_retry_of_a_refused_login_must_not_go_on(translator: Translator) -> None:
    retry = system("api_retry", attempt=1, max_retries=3, retry_delay_ms=500, error_status=401, error="x")
    assert said(translator, retry) == [contract.ApiRetry(attempt=1, max_retries=3, delay_s=0.5, status=401, error="x")]
    assert translator.failure is not None
    assert translator.failure.code == "auth"


def test_retry_after_a_lost_connection_may_go_on(translator: Translator) -> None:
    updates = said(translator, system("api_retry", attempt=1, error_status=None))
    assert isinstance(updates[0], contract.ApiRetry) and updates[0].status is None
    assert translator.failure is None


@pytest.mark.parametrize("tag", ["hook_callback_failed", "hook_no_verdict"])
def test_hook_without_a_verdict_is_an_incident(translator: Translator, tag: str) -> None:
    assert said(translator, system("informational", content="No verdict.", tag=tag))
    assert translator.failure is not None
    assert translator.failure.code == "permission"


def test_price_the_client_guesses_is_said_once(translator: Translator) -> None:
    usage = {"who-knows": {"inputTokens": 1, "costUSD": 0.1, "costBasis": "unknown"}}
    updates = said(translator, result(model_usage=usage), result(model_usage=usage))
    notes = [update for update in updates if isinstance(update, contract.SystemNote)]
    assert [note.text for note in notes] == ["The price of who-knows is unknown; its cost is the client's guess."]


def test_unknown_messages_are_ignored(translator: Translator) -> None:
    event = StreamEvent(uuid="u", session_id="s", event={})
    assert said(translator, event, system("something_new", x=1), system("status", status="requesting")) == []
