from __future__ import annotations

import time

import pytest

from llm.claude_code import failures
from llm.claude_code.failures import Report


def report(**changes: object) -> Report:
    given: dict[str, object] = {"subtype": "success", "is_error": True, "terminal_reason": "api_error"}
    return Report(**{**given, **changes})  # type: ignore[arg-type]


def test_turn_that_ended_well_is_no_failure() -> None:
    assert failures.classify(report(is_error=False, terminal_reason="completed")) is None


@pytest.mark.parametrize("reason", ["aborted_streaming", "aborted_tools"])
def test_interrupted_turn_is_no_failure(reason: str) -> None:
    given = report(subtype="error_during_execution", terminal_reason=reason)
    assert failures.classify(given) is None
    assert given.is_interrupted


# What the client was seen to report for each fault.
@pytest.mark.parametrize(
    ("code", "seen"),
    [
        ("auth", {"status": 401, "error": "authentication_failed", "text": "Failed to authenticate."}),
        ("auth", {"status": 403, "error": "authentication_failed"}),
        ("auth", {"text": "Not logged in · Please run /login"}),
        ("billing", {"status": 400, "error": "billing_error", "text": "Credit balance is too low"}),
        ("billing", {"status": 402, "error": "billing_error"}),
        ("model_not_found", {"status": 404, "error": "model_not_found"}),
        ("invalid_request", {"status": 400, "error": "unknown", "text": "API Error: 400 no such field"}),
        ("context_overflow", {"status": 400, "terminal_reason": "prompt_too_long", "text": "Prompt is too long"}),
        ("context_overflow", {"status": 413, "terminal_reason": "image_error"}),
        ("context_overflow", {"error": "max_output_tokens", "text": "reached its context window limit"}),
        ("rate_limited", {"status": 429, "error": "rate_limit", "text": "Request rejected (429)"}),
        ("usage_limited", {"status": 429, "error": "rate_limit", "text": "You've hit your weekly limit"}),
        ("usage_limited", {"error": "rate_limit", "text": "Claude usage limit reached"}),
        ("overloaded", {"status": 529, "error": "server_error", "text": "Repeated 529 Overloaded errors"}),
        ("overloaded", {"status": 500, "error": "server_error"}),
        ("overloaded", {"status": 502, "error": "server_error", "text": "<html>"}),
        ("network", {"error": "server_error", "text": "Connection dropped (ECONNRESET)"}),
        ("network", {"error": "server_error", "text": "Connection to the API was lost"}),
        ("network", {"status": 200, "error": "unknown", "text": "empty or malformed response (HTTP 200)"}),
        ("network", {"text": 'API Error: JSON Parse error: Unexpected identifier "event"'}),
        ("timeout", {"error": "server_error", "text": "Request timed out"}),
        ("output_too_long", {"error": "max_output_tokens", "text": "exceeded the 32000 output token maximum"}),
        ("refused", {"error": "invalid_request", "stop_reason": "refusal"}),
        ("max_turns", {"subtype": "error_max_turns", "terminal_reason": "max_turns"}),
        ("budget", {"subtype": "error_max_budget_usd", "terminal_reason": "budget_exhausted"}),
        ("session_lost", {"subtype": "error_during_execution", "text": "No conversation found with session ID: x"}),
        ("crashed", {"subtype": "error_during_execution", "terminal_reason": "", "text": "something"}),
    ],
)
def test_each_fault_has_its_code(code: str, seen: dict[str, object]) -> None:
    found = failures.classify(report(**seen))
    assert found is not None
    assert found.code == code


def test_reset_time_of_a_used_up_plan_becomes_the_wait() -> None:
    found = failures.classify(report(status=429, error="rate_limit", limit_resets_at=time.time() + 100))
    assert found is not None
    assert found.code == "usage_limited"
    assert found.retry_after_s == pytest.approx(100, abs=5)


@pytest.mark.parametrize("status", [401, 403])
def test_retrying_a_refused_login_is_pointless(status: int) -> None:
    found = failures.of_retry(status)
    assert found is not None
    assert found.code == "auth"


@pytest.mark.parametrize("status", [None, 429, 500, 529])
def test_other_retries_may_go_on(status: int | None) -> None:
    assert failures.of_retry(status) is None


@pytest.mark.parametrize(
    ("code", "exit_code", "stderr"),
    [
        ("crashed", -9, ""),
        ("crashed", None, "segmentation fault"),
        ("session_lost", 1, "No conversation found with session ID: x"),
        ("permission", 1, "--dangerously-skip-permissions cannot be used with root/sudo privileges"),
    ],
)
def test_process_that_ends_by_itself_has_its_code(code: str, exit_code: int | None, stderr: str) -> None:
    found = failures.of_exit(exit_code, stderr)
    assert found.code == code
    assert stderr in found.message
