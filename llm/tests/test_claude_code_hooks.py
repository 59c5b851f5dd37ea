from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest
from claude_agent_sdk import HookContext
from claude_agent_sdk.types import HookEvent, HookInput

from llm.claude_code import hooks
from llm.contract import (
    PermissionDenied,
    PermissionPolicy,
    ToolAnswer,
    ToolHandlers,
    Update,
)


async def allow(_name: str, _given: Mapping[str, Any]) -> str | None:
    return None


async def refuse(_name: str, _given: Mapping[str, Any]) -> str | None:
    return "Not this one."


async def break_down(_name: str, _given: Mapping[str, Any]) -> str | None:
    raise RuntimeError("the policy has a bug")


async def answer(*_: Any) -> ToolAnswer:
    return ToolAnswer(text="")


def call(event: HookEvent, policy: PermissionPolicy = allow, *, is_over: bool = False) -> tuple[Any, list[Update]]:
    said: list[Update] = []
    handlers = ToolHandlers(finish=answer, block=answer, ask=answer, is_over=lambda: is_over)
    matcher = hooks.build(policy, handlers, said.append)[event][0]
    given = cast(HookInput, {"tool_name": "Read", "tool_input": {"file_path": "a"}})
    return asyncio.run(matcher.hooks[0](given, "t1", HookContext(signal=None))), said  # type: ignore[arg-type]


def test_call_the_policy_has_nothing_against_is_left_to_the_clients_rules() -> None:
    assert call("PreToolUse") == ({}, [])


def test_refused_call_is_denied_and_on_record() -> None:
    output, said = call("PreToolUse", refuse)
    assert output["hookSpecificOutput"]["permissionDecision"] == "deny"
    assert output["hookSpecificOutput"]["permissionDecisionReason"] == "Not this one."
    assert said == [PermissionDenied(tool_name="Read", message="Not this one.")]


def test_policy_that_breaks_down_denies() -> None:
    output, said = call("PreToolUse", break_down)
    assert output["hookSpecificOutput"]["permissionDecision"] == "deny"
    assert len(said) == 1


def test_client_is_told_to_block_when_the_hook_itself_fails() -> None:
    handlers = ToolHandlers(finish=answer, block=answer, ask=answer, is_over=lambda: False)
    assert hooks.build(allow, handlers, lambda _update: None)["PreToolUse"][0].on_failure == "block"


@pytest.mark.parametrize("event", ["PostToolUse", "PostToolUseFailure"])
def test_turn_ends_after_the_call_with_which_the_run_is_over(event: HookEvent) -> None:
    assert call(event, is_over=False)[0] == {}
    assert call(event, is_over=True)[0]["continue_"] is False
