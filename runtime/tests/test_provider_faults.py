"""Each fault of a provider, as the real client meets it at the stand-in, ends a run with the code of its class.

Those that `test_runner_claude_code` has are not repeated here.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime import retries
from runtime.tests.runners import resumed, started
from runtime.tests.test_runner_claude_code import FINISH, WRITE, world

# What stands in the step, and the code. The client itself does not retry: that is another matter.
FAULTS = {
    "403": ('fault = "permission_error"', "auth"),
    "400, no credit": (
        'fault = "invalid_request_error"\nmessage = "Your credit balance is too low to access the Anthropic API."',
        "billing",
    ),
    "413": ('fault = "request_too_large"', "context_overflow"),
    "500": ('fault = "api_error"', "overloaded"),
    "error in the stream": ('fault = "error_mid_stream"\ntext = "I beg"', "overloaded"),
    "reset in the stream": ('fault = "drop_mid_stream"\ntext = "I beg"', "network"),
    "no stream event": ('fault = "malformed"', "network"),
    "a page instead of an answer": ('fault = "html"', "network"),
    "max_tokens": ('text = "And so on"\nstop_reason = "max_tokens"', "output_too_long"),
    "window exceeded": ('text = "And so on"\nstop_reason = "model_context_window_exceeded"', "context_overflow"),
    "refusal": ('text = "I would rather not."\nstop_reason = "refusal"', "refused"),
}
# Siblings of what stands above.
MORE = {
    "502": ('fault = "api_error"\nstatus = 502', "overloaded"),
    "504": ('fault = "timeout_error"', "overloaded"),
    "529": ('fault = "overloaded_error"', "overloaded"),
    "history broken": (
        'fault = "invalid_request_error"\nmessage = "messages.1: tool_use ids were found without tool_result"',
        "invalid_request",
    ),
}
LONG = 'fault = "invalid_request_error"\nmessage = "prompt is too long: 250000 tokens > 200000 maximum"'
QUICK = {"CLAUDE_CODE_MAX_RETRIES": "0"}


def step(lines: str) -> str:
    return f"[[step]]\n{lines}\n"


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        *(pytest.param(*row, id=name) for name, row in FAULTS.items()),
        *(pytest.param(*row, id=name, marks=pytest.mark.torture) for name, row in MORE.items()),
    ],
)
def test_fault_has_the_code_of_its_class(tmp_path: Path, lines: str, code: str) -> None:
    with world(tmp_path, step(lines)) as it:
        ended = it.run(None, **QUICK).wait()
    assert (ended.outcome, ended.code) == ("failed", code), ended.message


def test_long_wait_is_not_sat_out_by_the_client_and_not_told(tmp_path: Path) -> None:
    """So the wait is ours: the backoff, for want of the provider's own word."""
    with world(tmp_path, step('fault = "rate_limit_error"\nretry_after_s = 90')) as it:
        ended = it.run(None, CLAUDE_CODE_MAX_RETRIES="3").wait()
        assert len(it.standin.requests) == 1
    assert (ended.code, ended.retry_after_s) == ("rate_limited", None)


def test_short_wait_is_sat_out_by_the_client(tmp_path: Path) -> None:
    with world(tmp_path, step('fault = "rate_limit_error"\nretry_after_s = 1') + FINISH) as it:
        runner = it.run(None, CLAUDE_CODE_MAX_RETRIES="1")
    assert runner.wait().outcome == "finished"
    assert [retry["status"] for retry in runner.lines("system", "api_retry")] == [429]


@pytest.mark.parametrize(
    "lines",
    [
        'fault = "silence"',
        pytest.param('fault = "silence_after_headers"', marks=pytest.mark.torture),
        'fault = "silence_mid_stream"\ntext = "I beg"',
    ],
)
def test_silence_is_ended_by_our_own_watchdog(tmp_path: Path, lines: str) -> None:
    with world(tmp_path, step(lines)) as it:
        ended = it.run(it.request(idle_timeout_s=3.0), **QUICK).wait()
    assert (ended.outcome, ended.code) == ("failed", "timeout")


@pytest.mark.torture
def test_answer_without_headers_is_given_up_by_the_client(tmp_path: Path) -> None:
    with world(tmp_path, step('fault = "silence"')) as it:
        ended = it.run(None, API_TIMEOUT_MS="1000", **QUICK).wait()
    assert (ended.outcome, ended.code) == ("failed", "timeout")


def test_answer_without_content_is_no_finished_work(tmp_path: Path) -> None:
    with world(tmp_path, step('text = ""')) as it:
        ended = it.run(None, **QUICK).wait()
    assert (ended.outcome, ended.message) == ("unreported", "")


def test_without_a_login_nothing_is_asked(tmp_path: Path) -> None:
    with world(tmp_path, FINISH) as it:
        environment = {name: value for name, value in it.environment.items() if name != "ANTHROPIC_API_KEY"}
        with started(tmp_path, it.request(), **environment, **QUICK) as runner:
            ended = runner.wait()
        assert it.standin.requests == []
    assert (ended.outcome, ended.code) == ("failed", "auth")


@pytest.mark.torture
def test_session_that_has_grown_too_long_is_poisoned_and_a_new_one_in_its_worktree_is_not(tmp_path: Path) -> None:
    """The client cannot shorten it: also its summary is refused. Resumed, it would say the same for ever."""
    script = WRITE + step(LONG)
    with world(tmp_path, script) as it:
        first = it.run(None, **QUICK)
        again = it.run(resumed(first, prompt="Go on where you stopped."), **QUICK)
        assert {first.wait().code, again.wait().code} == {"context_overflow"}
    assert first.wait().code in retries.POISONED
    assert (first.workspace / "a.txt").exists()
