"""The runner as a process, with the agent that plays a script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from runtime.rundir import RunDirectory
from runtime.tests.runners import CODE, environment, is_gone, request, started, until


def test_agent_that_finishes_ends_the_run_as_finished(tmp_path: Path) -> None:
    with started(tmp_path, request(tmp_path, prompt="noop: write a.txt hello\nnoop: finish Wrote it.")) as runner:
        ended = runner.wait()
    assert (ended.outcome, ended.message) == ("finished", "Wrote it.")
    assert (runner.workspace / "a.txt").read_text() == "hello\n"
    assert ended.session_id == runner.directory.request().session_id
    assert [line["seq"] for line, _ in runner.directory.lines()] == list(
        range(1, len(list(runner.directory.lines())) + 1)
    )


def test_start_record_names_the_process_and_outlives_it(tmp_path: Path) -> None:
    with started(tmp_path, request(tmp_path)) as runner:
        runner.wait()
        start = runner.directory.start()
    assert start is not None
    assert (start.pid, start.pgid) == (runner.process.pid, runner.process.pid)
    assert start.start_ticks > 0 and start.boot_id


def test_start_record_is_there_before_anything_is_spawned(tmp_path: Path) -> None:
    start = tmp_path / "runs/7.1/start.json"
    with started(tmp_path, request(tmp_path, setup_command=f"cp {start} seen.json")) as runner:
        assert runner.wait().outcome == "finished"
    assert json.loads((runner.workspace / "seen.json").read_text())["pid"] == runner.process.pid


def test_setup_runs_before_the_agent_and_its_failure_ends_the_run(tmp_path: Path) -> None:
    with started(tmp_path, request(tmp_path, setup_command="echo no such package; exit 7")) as runner:
        ended = runner.wait()
    assert (ended.outcome, ended.code) == ("failed", "setup_failed")
    assert "no such package" in ended.message
    assert runner.lines("system", "setup")[0]["exit_code"] == 7
    assert not runner.lines("tool_call")
    assert ended.session_id == ""


def test_a_setup_that_says_nothing_for_long_is_no_silence_of_the_agent(tmp_path: Path) -> None:
    with started(tmp_path, request(tmp_path, setup_command="sleep 3.5", idle_timeout_s=3)) as runner:
        assert runner.wait().outcome == "finished"


def test_failed_check_goes_back_to_the_agent_which_may_mend_it(tmp_path: Path) -> None:
    script = "noop: finish First.\nnoop: write b.txt x\nnoop: finish Second."
    checks = ["test -f b.txt || { echo b.txt is missing; exit 3; }"]
    with started(tmp_path, request(tmp_path, prompt=script, checks=checks)) as runner:
        ended = runner.wait()
    assert (ended.outcome, ended.message) == ("finished", "Second.")
    assert [check["exit_code"] for check in runner.lines("system", "check")] == [3, 0]
    assert "b.txt is missing" in runner.lines("tool_result")[0]["text"]


def test_checks_that_keep_failing_end_the_run_after_so_many_rounds(tmp_path: Path) -> None:
    script = "\n".join(["noop: finish Done."] * 9)
    with started(tmp_path, request(tmp_path, prompt=script, checks=["echo bad; false"], max_check_rounds=2)) as runner:
        ended = runner.wait()
    assert (ended.outcome, ended.code) == ("failed", "checks_failed")
    assert "bad" in ended.message
    assert len(runner.lines("system", "check")) == 3


def test_checks_see_no_credentials(tmp_path: Path) -> None:
    wanted = request(tmp_path, checks=["env > env.txt"])
    with started(tmp_path, wanted, ANTHROPIC_API_KEY="sk-of-the-operator", ANTHROPIC_AUTH_TOKEN="t") as runner:
        assert runner.wait().outcome == "finished"
    seen = (runner.workspace / "env.txt").read_text()
    assert "ANTHROPIC" not in seen and "sk-of-the-operator" not in seen
    assert f"HOME={tmp_path / 'home'}" in seen


def test_agent_that_blocks_ends_the_run_as_blocked(tmp_path: Path) -> None:
    with started(tmp_path, request(tmp_path, prompt="noop: block No key.")) as runner:
        ended = runner.wait()
    assert (ended.outcome, ended.message) == ("blocked", "No key.")


def test_agent_that_says_nothing_is_asked_once_and_then_unreported(tmp_path: Path) -> None:
    with started(tmp_path, request(tmp_path, prompt="noop: say Almost.\nnoop: silent")) as runner:
        ended = runner.wait()
    assert (ended.outcome, ended.message) == ("unreported", "I have nothing to say.")
    assert ended.usage.turns == 2


def test_question_is_answered_in_place(tmp_path: Path) -> None:
    with started(tmp_path, request(tmp_path, prompt="noop: ask Which colour?")) as runner:
        ask = until(lambda: runner.lines("system", "ask"))[0]
        runner.directory.send(f"answer-{ask['ask_id']}", {"text": "blue"})
        assert runner.wait().outcome == "finished"
    assert ask["question"] == "Which colour?"
    assert {"text": "blue"} in runner.lines("text")
    assert runner.lines("system", "answer") == [{"type": "answer", "ask_id": ask["ask_id"]}]


def test_question_nobody_answers_parks_the_run(tmp_path: Path) -> None:
    with started(tmp_path, request(tmp_path, prompt="noop: ask Which?\nnoop: write a.txt x", ask_wait_s=0.2)) as runner:
        ended = runner.wait()
    assert (ended.outcome, ended.message) == ("parked", runner.lines("system", "ask")[0]["ask_id"])
    assert not (runner.workspace / "a.txt").exists()


def test_time_spent_waiting_for_a_person_is_not_the_runs(tmp_path: Path) -> None:
    wanted = request(tmp_path, prompt="noop: ask Which?", ask_wait_s=3.5, timeout_s=3, idle_timeout_s=3)
    with started(tmp_path, wanted) as runner:
        assert runner.wait().outcome == "parked"


def test_question_ids_differ_between_epochs(tmp_path: Path) -> None:
    ids = []
    for epoch in (1, 2):
        with started(tmp_path, request(tmp_path, epoch=epoch, prompt="noop: ask Which?", ask_wait_s=0)) as runner:
            ids.append(runner.wait().message)
    assert ids[0] != ids[1]


@pytest.mark.parametrize(("name", "outcome"), [("interrupt", "interrupted"), ("cancel", "cancelled")])
def test_control_file_stops_the_run(tmp_path: Path, name: str, outcome: str) -> None:
    with started(tmp_path, request(tmp_path, prompt="noop: hang")) as runner:
        until(lambda: runner.lines("system", "session"))
        runner.directory.send(name, {"reason": "paused"})
        ended = runner.wait()
    assert ended.outcome == outcome
    assert ended.session_id


def test_interrupt_lets_the_running_tool_end_first(tmp_path: Path) -> None:
    script = "noop: run touch begun; sleep 0.5; echo whole > whole.txt\nnoop: write after.txt x"
    with started(tmp_path, request(tmp_path, prompt=script)) as runner:
        until((runner.workspace / "begun").exists)
        runner.directory.send("interrupt", {"reason": "paused"})
        assert runner.wait().outcome == "interrupted"
    assert (runner.workspace / "whole.txt").exists()
    assert not (runner.workspace / "after.txt").exists()


def test_sigterm_interrupts_at_once(tmp_path: Path) -> None:
    with started(tmp_path, request(tmp_path, prompt="noop: run touch begun; sleep 60")) as runner:
        until((runner.workspace / "begun").exists)
        runner.process.terminate()
        assert runner.wait().outcome == "interrupted"


_TERMINATED_LATE = """
import os, signal, sys
from runtime.rundir import RunDirectory
from runtime.runner.__main__ import main
write = RunDirectory.write_exit
def terminated(directory, record):
    os.kill(os.getpid(), signal.SIGTERM)
    write(directory, record)
RunDirectory.write_exit = terminated
sys.exit(main(sys.argv[1:]))
"""


def test_sigterm_that_comes_while_the_end_is_written_down_changes_nothing(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path / "runs" / "7.1", request(tmp_path))
    command = [sys.executable, "-c", _TERMINATED_LATE, str(directory.path)]
    assert subprocess.run(command, cwd=CODE, env=environment(tmp_path), check=False, timeout=60).returncode == 0
    ended = directory.exit()
    assert ended is not None and ended.outcome == "finished"


def test_silence_ends_the_run_as_timeout(tmp_path: Path) -> None:
    with started(tmp_path, request(tmp_path, prompt="noop: hang", idle_timeout_s=0.5)) as runner:
        ended = runner.wait()
    assert (ended.outcome, ended.code) == ("failed", "timeout")
    assert "said nothing" in ended.message


@pytest.mark.parametrize(
    ("caps", "code"),
    [
        ({"max_tokens": 110}, "max_tokens"),
        ({"max_cost_usd": 0.4}, "budget"),
        ({"time_cap_s": 3}, "max_minutes"),
    ],
)
def test_a_cap_that_is_reached_ends_the_run(tmp_path: Path, caps: dict[str, float], code: str) -> None:
    with started(tmp_path, request(tmp_path, prompt="noop: cost 0.5\nnoop: hang", **caps)) as runner:
        ended = runner.wait()
    assert (ended.outcome, ended.code) == ("failed", code)
    assert (ended.usage.tokens, ended.usage.cost_usd) == (110, 0.5)
    assert ended.session_id


def test_waiting_for_a_person_is_no_work(tmp_path: Path) -> None:
    wanted = request(tmp_path, prompt="noop: ask Which?", ask_wait_s=3.5, time_cap_s=3)
    with started(tmp_path, wanted) as runner:
        ended = runner.wait()
    assert ended.outcome == "parked"
    assert ended.usage.worked_s < 3


def test_run_that_talks_for_ever_ends_as_timeout(tmp_path: Path) -> None:
    script = "\n".join(["noop: say Still here.", "noop: sleep 0.1"] * 100)
    with started(tmp_path, request(tmp_path, prompt=script, timeout_s=1.0)) as runner:
        ended = runner.wait()
    assert (ended.outcome, ended.code) == ("failed", "timeout")


def test_an_agent_that_talks_without_end_fills_no_disk_and_still_ends_its_run(tmp_path: Path) -> None:
    script = "\n".join(["noop: cost 0.01", *["noop: say " + "x" * 200] * 50, "noop: finish That was all."])
    with started(tmp_path, request(tmp_path, prompt=script, max_log_bytes=2000)) as runner:
        ended = runner.wait()
    assert (ended.outcome, ended.message, ended.usage.cost_usd) == ("finished", "That was all.", 0.01)
    assert runner.directory.events_path.stat().st_size < 5000
    assert len(runner.lines("system", "log_full")) == len(runner.lines("system", "finish")) == 1


def test_failure_of_the_provider_keeps_its_code_and_its_time(tmp_path: Path) -> None:
    with started(tmp_path, request(tmp_path, prompt="noop: fail rate_limited 30")) as runner:
        ended = runner.wait()
    assert (ended.outcome, ended.code, ended.retry_after_s) == ("failed", "rate_limited", 30.0)


def test_report_holds_though_the_run_is_stopped_before_the_turn_is_over(tmp_path: Path) -> None:
    with started(tmp_path, request(tmp_path, prompt="noop: finish Done.")) as runner:
        runner.directory.send("interrupt", {"reason": "paused"})
        assert runner.wait().outcome in {"finished", "interrupted"}
    assert (runner.wait().outcome == "finished") == bool(runner.lines("system", "finish"))


def test_usage_is_in_the_journal_and_the_exit_record(tmp_path: Path) -> None:
    with started(tmp_path, request(tmp_path, prompt="noop: cost 0.5\nnoop: cost 0.25")) as runner:
        ended = runner.wait()
    assert (ended.usage.cost_usd, ended.usage.request_count, ended.usage.token_in) == (0.75, 2, 200)
    assert ended.usage.models["noop"]["cost_usd"] == 0.75
    assert runner.lines("system", "usage")[-1]["cost_usd"] == 0.75


def test_tool_call_that_leads_out_of_the_worktree_is_refused_and_on_record(tmp_path: Path) -> None:
    with started(tmp_path, request(tmp_path, prompt="noop: write ../out.txt x\nnoop: write .env x")) as runner:
        assert runner.wait().outcome == "finished"
    assert not (tmp_path / "out.txt").exists()
    assert not (runner.workspace / ".env").exists()
    assert [line["tool_name"] for line in runner.lines("system", "permission_denied")] == ["Write", "Write"]


def test_nothing_of_a_run_is_left_alive(tmp_path: Path) -> None:
    script = (
        "noop: run setsid sleep 60 >/dev/null 2>&1 & echo $! > daemon\n"
        "noop: run (sleep 60 >/dev/null 2>&1 &) ; echo begun"
    )
    with started(tmp_path, request(tmp_path, prompt=script)) as runner:
        assert runner.wait().outcome == "finished"
        assert not psutil.pid_exists(int((runner.workspace / "daemon").read_text()))
        assert runner.tagged() == []


def test_killed_runner_leaves_no_exit_record_and_takes_its_commands_with_it(tmp_path: Path) -> None:
    with started(tmp_path, request(tmp_path, setup_command="touch begun; exec sleep 60")) as runner:
        until((runner.workspace / "begun").exists)
        commands = runner.descendants()
        runner.process.kill()
        until(lambda: all(map(is_gone, commands)), "the setup command to end")
        assert commands
    assert runner.directory.exit() is None


def test_unknown_provider_is_a_clear_failure(tmp_path: Path) -> None:
    with started(tmp_path, request(tmp_path, provider="telepathy")) as runner:
        ended = runner.wait()
    assert (ended.outcome, ended.code) == ("failed", "invalid_request")
    assert "telepathy" in ended.message


def test_workspace_that_is_gone_is_a_failure_and_not_silence(tmp_path: Path) -> None:
    wanted = request(tmp_path, workspace=str(tmp_path / "nowhere"), setup_command="true")
    with started(tmp_path, wanted) as runner:
        ended = runner.wait()
    assert (ended.outcome, ended.code) == ("failed", "protocol")
    assert "nowhere" in ended.message


def test_secrets_reach_neither_journal_nor_exit_record(tmp_path: Path) -> None:
    secret = "sk-ant-api03-abcdefghijklmnop"
    with started(tmp_path, request(tmp_path, prompt=f"noop: say my key is {secret}\nnoop: finish {secret}")) as runner:
        runner.wait()
        runner.directory.path.joinpath("request.json").unlink()
    written = [path.read_text() for path in runner.directory.path.iterdir() if path.is_file()]
    assert not [text for text in written if secret in text]


def test_log_lines_are_json_and_carry_the_trace(tmp_path: Path) -> None:
    with started(tmp_path, request(tmp_path)) as runner:
        runner.wait()
    lines = [json.loads(line) for line in runner.stderr().splitlines()]
    assert lines
    assert {(line["trace_id"], line["run_id"], line["task_id"]) for line in lines} == {("trace-of-the-test", 7, 3)}


def test_run_directory_without_a_request_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "runtime.runner", str(tmp_path)],
        cwd=CODE,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "request.json" in done.stderr


def test_runner_imports_no_django(tmp_path: Path) -> None:
    code = (
        "import sys, runtime.runner.__main__, llm.claude_code.client, llm.noop\n"
        "print([name for name in sys.modules if name.partition('.')[0] == 'django'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CODE, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_command_that_writes_into_a_closed_pipe_ends_as_it_does_in_a_shell(tmp_path: Path) -> None:
    with started(tmp_path, request(tmp_path, setup_command="yes | head -1")) as runner:
        assert runner.wait().outcome == "finished"
    assert runner.lines("system", "setup")[0]["text"] == "y"
