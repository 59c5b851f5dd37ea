"""The real client against the stand-in."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llm.standin import scenario
from llm.standin.environment import bundled_client, client_environment
from llm.standin.server import StandIn

FLAGS = ("--output-format", "stream-json", "--verbose", "--permission-mode", "acceptEdits", "--allowedTools", "Bash")
TWO_TASKS = """
[[part]]
when = "Write the parser"
[[part.step]]
text = "I write and run it."
[[part.step.tool]]
name = "Write"
input.file_path = "{cwd}/parser.py"
input.content = '''
print("parsed")
'''
[[part.step]]
[[part.step.tool]]
name = "Bash"
input = { command = "python3 parser.py", description = "Run it" }
[[part.step]]
text = "The parser is done."

[[part]]
when = "Write the printer"
[[part.step]]
text = "The printer is done."
"""


@dataclass
class Machine:
    """A home and a working directory of a client's own."""

    home: Path
    work: Path

    def start(self, url: str, prompt: str, *flags: str, retries: int = 2) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(bundled_client()), "-p", prompt, *FLAGS, *flags],
            cwd=self.work,
            env=client_environment(self.home, url, retries=retries),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )

    def transcript(self, session: str) -> str:
        """What the client has written down so far, and can resume from."""
        return "".join(file.read_text() for file in self.home.glob(f".claude/projects/*/{session}.jsonl"))

    def run(self, url: str, prompt: str, *flags: str, retries: int = 2) -> list[dict[str, Any]]:
        with self.start(url, prompt, *flags, retries=retries) as process:
            out, _ = process.communicate(timeout=60)
        return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    return Machine(tmp_path / "home", tmp_path / "work")


def standin(text: str) -> StandIn:
    return StandIn(scenario.parse(text, name="test"))


def results(lines: list[dict[str, Any]]) -> list[str]:
    blocks = [block for line in lines if line["type"] == "user" for block in line["message"]["content"]]
    return [str(block["content"]) for block in blocks if block["type"] == "tool_result"]


def test_client_writes_a_file_and_runs_it(machine: Machine) -> None:
    with standin(TWO_TASKS) as server:
        lines = machine.run(server.url, "Write the parser")
    assert (machine.work / "parser.py").read_text() == 'print("parsed")\n'
    assert results(lines)[-1] == "parsed"
    assert (lines[-1]["is_error"], lines[-1]["result"]) == (False, "The parser is done.")


def test_prompt_picks_the_part_and_every_answer_is_marked_scripted(machine: Machine) -> None:
    with standin(TWO_TASKS) as server:
        lines = machine.run(server.url, "Write the printer, as the parser is done")
    assert lines[-1]["result"] == "The printer is done."
    assert {line["message"]["model"] for line in lines if line["type"] == "assistant"} == {"scripted-stand-in"}


def test_overloaded_step_is_tried_again(machine: Machine) -> None:
    with standin('[[step]]\nfault = "overloaded_error"\n[[step]]\ntext = "Done."') as server:
        lines = machine.run(server.url, "go")
    retries = [line["error_status"] for line in lines if line.get("subtype") == "api_retry"]
    assert (retries, lines[-1]["result"]) == ([529], "Done.")


# The client is pinned, and each start of it takes a second or two: `make test` tries some faults, `make test-long` all.
def at_length(*values: str) -> list[Any]:
    return [pytest.param(value, marks=pytest.mark.torture) for value in values]


@pytest.mark.parametrize(
    "fault", ["drop_mid_stream", "html", *at_length("drop", "error_mid_stream", "malformed", "api_error")]
)
def test_lasting_fault_fails_the_run(machine: Machine, fault: str) -> None:
    with standin(f'[[step]]\nfault = "{fault}"') as server:
        lines = machine.run(server.url, "go", retries=0)
    assert lines[-1]["is_error"] is True


@pytest.mark.parametrize("fault", ["drop", *at_length("drop_mid_stream", "api_error")])
def test_passing_fault_is_survived(machine: Machine, fault: str) -> None:
    with standin(f'[[step]]\nfault = "{fault}"\n[[step]]\ntext = "Done."') as server:
        lines = machine.run(server.url, "go", retries=1)
    assert lines[-1]["result"] == "Done."


def test_resumed_session_goes_on_after_the_standin_was_restarted(machine: Machine) -> None:
    script = "".join(f'[[step]]\ntext = "answer {number}"\n' for number in range(3))
    with standin(script) as server:
        first = machine.run(server.url, "go")[-1]
    with standin(script) as server:
        second = machine.run(server.url, "Go on.", "--resume", first["session_id"])[-1]
    assert (first["result"], second["result"]) == ("answer 0", "answer 1")


def test_prompt_of_a_later_round_gets_its_answer_in_the_same_session(machine: Machine) -> None:
    script = """
        [[round]]
        [[round.step]]
        text = "first"
        [[round.step]]
        text = "never said"
        [[round]]
        when = "rename it"
        [[round.step]]
        text = "renamed"
        """
    with standin(script) as server:
        first = machine.run(server.url, "go")[-1]
        second = machine.run(server.url, "Please rename it.", "--resume", first["session_id"])[-1]
    assert second["result"] == "renamed"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_step_whose_tool_was_cut_off_is_served_again(machine: Machine, how: signal.Signals) -> None:
    command = "cd {cwd}; echo x >> calls; for i in $(seq 600); do [ ! -e wait ] || sleep 0.05; done"
    session = "11111111-2222-4333-8444-555555555555"
    script = f"""
        [[step]]
        [[step.tool]]
        name = "Bash"
        input = {{ command = "{command}", description = "Wait" }}
        [[step]]
        text = "Waited."
        [[step]]
        text = "One too many."
        """
    hold = machine.work / "wait"
    hold.touch()
    with standin(script) as server:
        with machine.start(server.url, "go", "--session-id", session) as client:
            until(lambda: (machine.work / "calls").exists() and "scripted_0_0_1" in machine.transcript(session))
            client.send_signal(how)
            client.wait(60)
            hold.unlink()
        lines = machine.run(server.url, "Go on where you stopped.", "--resume", session)
    assert lines[-1]["result"] == "Waited."
    assert (machine.work / "calls").read_text() == "x\nx\n"


def test_full_context_is_summed_up_and_the_script_goes_on(machine: Machine) -> None:
    call = '[[part.step]]\n[[part.step.tool]]\nname = "Bash"\ninput = { command = "echo", description = "" }\n'
    script = f"""
        [[part]]
        when = "other"
        [[part.step]]
        text = "wrong part"
        [[part]]
        when = "go"
        {call}{call}
        [[part.step]]
        text = "Done."
        [[part.step]]
        fault = "invalid_request_error"
        message = "prompt is too long: 210000 tokens > 200000 maximum"
        [[part.step]]
        text = "After the summary."
        [[part.step]]
        text = "One too many."
        """
    with standin(script) as server:
        first = machine.run(server.url, "go")[-1]
        lines = machine.run(server.url, "Continue.", "--resume", first["session_id"])
    assert any(line.get("subtype") == "compact_boundary" for line in lines)
    assert lines[-1]["result"] == "After the summary."


@pytest.mark.parametrize(
    ("model", "cost"),
    [("claude-sonnet-5", 3.0), ("claude-sonnet-5-scripted", 3.0), ("scripted-stand-in", 6.0)],
)
def test_cost_follows_the_model_asked_for(machine: Machine, model: str, cost: float) -> None:
    script = '[usage]\ninput_tokens = 1_000_000\noutput_tokens = 100_000\n[[step]]\ntext = "Done."'
    with standin(script) as server:
        lines = machine.run(server.url, "go", "--model", model)
    assert lines[-1]["total_cost_usd"] == pytest.approx(cost)


def until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
