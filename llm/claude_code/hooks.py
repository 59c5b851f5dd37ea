"""Stand between the agent and its tools. The client's hooks fail open; these fail closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from claude_agent_sdk import HookContext, HookMatcher
from claude_agent_sdk.types import HookEvent, HookInput, HookJSONOutput

from llm.contract import PermissionDenied, PermissionPolicy, ToolHandlers, Update

log = structlog.get_logger("bbb.llm")

_TIMEOUT_S = 60.0
_STOP = "the report was taken; the next prompt is what has been said to it"


def build(
    policy: PermissionPolicy, handlers: ToolHandlers, say: Callable[[Update], None]
) -> dict[HookEvent, list[HookMatcher]]:
    """Return the hooks: the policy before each tool call, and the end of the turn after the agent has reported."""

    async def before(given: HookInput, _call: str | None, _context: HookContext) -> HookJSONOutput:
        refusal = await _judge(policy, given)
        if refusal is None:
            return {}
        say(PermissionDenied(tool_name=str(_field(given, "tool_name")), message=refusal))
        return {
            "hookSpecificOutput": {
                "hookEventName": "PreToolUse",
                "permissionDecision": "deny",
                "permissionDecisionReason": refusal,
            }
        }

    async def after(_given: HookInput, _call: str | None, _context: HookContext) -> HookJSONOutput:
        # Without another request to the provider, and with a whole last call in the session.
        return {"continue_": False, "stopReason": _STOP} if handlers.is_over() else {}

    return {
        # Also what fails outside of `before` blocks: the SDK itself, or an answer the client cannot read.
        "PreToolUse": [HookMatcher(hooks=[before], timeout=_TIMEOUT_S, on_failure="block")],
        "PostToolUse": [HookMatcher(hooks=[after], timeout=_TIMEOUT_S)],
        "PostToolUseFailure": [HookMatcher(hooks=[after], timeout=_TIMEOUT_S)],
    }


async def _judge(policy: PermissionPolicy, given: HookInput) -> str | None:
    try:
        return await policy(str(_field(given, "tool_name")), _field(given, "tool_input") or {})
    except Exception as error:
        log.exception("policy_failed")
        return f"The permission policy failed, so nothing is allowed: {type(error).__name__}."


def _field(given: HookInput, name: str) -> Any:
    return dict(given).get(name)
