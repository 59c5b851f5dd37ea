"""What is said to an agent in the middle of its turn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm.standin.scenario import parse
from llm.standin.server import StandIn
from runtime.tests.runners import request, started, until

GATE = "until [ -e gate ]; do sleep 0.05; done"
_FINISH = """
[[step]]
[[step.tool]]
name = "mcp__bbb__finish_task"
input = { summary = "All done.", evidence = "I looked." }
"""
SCRIPT = f"""
[[step]]
[[step.tool]]
name = "Bash"
input = {{ command = "{GATE}" }}
{_FINISH}
"""


def test_an_agent_hears_what_is_said_to_it_and_the_log_says_so(tmp_path: Path) -> None:
    script = f"noop: run {GATE}"
    with started(tmp_path, request(tmp_path, prompt=script)) as runner:
        until(lambda: runner.lines("tool_call"))
        runner.directory.add_message("nudge", {"text": "Try something else."})
        until(lambda: runner.lines("system", "nudge"))
        runner.directory.add_message("nudge", {"text": "And be quick."})
        until(lambda: len(runner.lines("text")) == 2)
        (runner.workspace / "gate").touch()
        assert runner.wait().outcome == "finished"
    said = ["Try something else.", "And be quick."]
    assert [line["text"] for line in runner.lines("system", "nudge")] == said
    assert [line["text"] for line in runner.lines("text")] == said
    assert runner.wait().usage.turns == 1


def test_who_is_being_stopped_is_told_nothing_more(tmp_path: Path) -> None:
    with started(tmp_path, request(tmp_path, prompt="noop: hang")) as runner:
        until(lambda: runner.lines("system", "session"))
        runner.directory.send("cancel", {})
        runner.directory.add_message("nudge", {"text": "Try something else."})
        assert runner.wait().outcome == "cancelled"


@pytest.mark.parametrize("count", [1, 2])
def test_the_real_client_passes_it_on_with_the_next_request_of_the_same_turn(tmp_path: Path, count: int) -> None:
    with StandIn(parse(SCRIPT, name="default")) as standin:
        wanted = request(tmp_path, provider="claude_code")
        config = str(tmp_path / "home" / ".claude")
        provider = {"ANTHROPIC_BASE_URL": standin.url, "ANTHROPIC_API_KEY": "sk-none"}
        with started(tmp_path, wanted, **provider, CLAUDE_CONFIG_DIR=config) as runner:
            until(lambda: runner.lines("tool_call"))
            for number in range(count):
                runner.directory.add_message("nudge", {"text": f"Try something else, {number}."})
            until(lambda: len(runner.lines("system", "nudge")) == count)
            (runner.workspace / "gate").touch()
            ended = runner.wait()
        requests = [json.dumps(made.body["messages"]) for made in standin.requests]
    assert (ended.outcome, ended.message) == ("finished", "All done.")
    assert "Try something else" not in requests[0]
    assert all(f"Try something else, {number}." in requests[1] for number in range(count))
    assert len(requests) == 2


def test_a_word_that_comes_as_the_turn_ends_does_not_confuse_the_turns(tmp_path: Path) -> None:
    script = '[[step]]\ntext = "That was it."\ndelay_s = 1\n' + _FINISH
    with StandIn(parse(script, name="default")) as standin:
        wanted = request(tmp_path, provider="claude_code")
        config = str(tmp_path / "home" / ".claude")
        provider = {"ANTHROPIC_BASE_URL": standin.url, "ANTHROPIC_API_KEY": "sk-none"}
        with started(tmp_path, wanted, **provider, CLAUDE_CONFIG_DIR=config) as runner:
            until(lambda: standin.requests)
            runner.directory.add_message("nudge", {"text": "Try something else."})
            ended = runner.wait()
        made = len(standin.requests)
    assert (ended.outcome, ended.message) == ("finished", "All done.")
    # What it heard too late begins a turn that is cut short: without that it would go on until the process ends.
    # It may have called once more by then, and was refused: one report was taken.
    assert len(runner.lines("system", "finish")) == 1
    assert made <= 6


def test_the_turn_of_a_word_that_came_late_is_not_taken_for_that_of_the_next_prompt(tmp_path: Path) -> None:
    script = '[[round]]\n[[round.step]]\ntext = "That was it."\ndelay_s = 1\n'
    script += '[[round]]\nwhen = "Try something else"\n[[round.step]]\ntext = "I hear you."\ndelay_s = 1\n'
    script += '[[round]]\nwhen = "without a report"\n' + _FINISH.replace("[[step", "[[round.step")
    with StandIn(parse(script, name="default")) as standin:
        wanted = request(tmp_path, provider="claude_code")
        config = str(tmp_path / "home" / ".claude")
        provider = {"ANTHROPIC_BASE_URL": standin.url, "ANTHROPIC_API_KEY": "sk-none"}
        with started(tmp_path, wanted, **provider, CLAUDE_CONFIG_DIR=config) as runner:
            until(lambda: standin.requests)
            runner.directory.add_message("nudge", {"text": "Try something else."})
            ended = runner.wait()
    assert (ended.outcome, ended.message) == ("finished", "All done.")
