from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import psutil

from runtime.runner import commands
from runtime.runner.commands import CommandResult
from runtime.tests.runners import until


def run(command: str, cwd: Path, **changes: Any) -> CommandResult:
    given = {"environment": {"PATH": os.environ["PATH"]}, "launcher": commands.launcher(), **changes}
    return asyncio.run(commands.run_command(command, cwd=cwd, **given))


def is_alive(pid_file: Path) -> bool:
    try:
        return psutil.Process(int(pid_file.read_text())).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_output_and_exit_code_come_back(tmp_path: Path) -> None:
    result = run("echo out; echo err >&2; exit 3", tmp_path)
    assert (result.exit_code, result.text, result.is_ok) == (3, "out\nerr", False)


def test_command_runs_in_the_worktree_with_the_given_environment_only(tmp_path: Path) -> None:
    result = run("pwd; echo ${HOME:-none} $GIVEN", tmp_path, environment={"PATH": os.environ["PATH"], "GIVEN": "x"})
    assert result.text == f"{tmp_path}\nnone x"


def test_end_of_a_long_output_is_kept(tmp_path: Path) -> None:
    text = run("seq 1 100000; echo the end", tmp_path).text
    assert text.endswith("the end")
    assert len(text) < commands.MAX_OUTPUT + 100
    assert "bytes cut" in text


def test_command_that_takes_too_long_is_stopped_with_its_children(tmp_path: Path) -> None:
    result = run("setsid sleep 60 & echo $! > child; echo begun; sleep 60", tmp_path, timeout_s=3)
    assert result.exit_code == 124
    assert result.text.startswith("begun") and "Stopped after" in result.text
    until(lambda: not is_alive(tmp_path / "child"), "the child to end")


def test_daemon_that_holds_the_output_keeps_nobody_waiting(tmp_path: Path) -> None:
    result = run("sleep 60 & echo $! > child; echo begun", tmp_path)
    left = psutil.Process(int((tmp_path / "child").read_text()))
    left.kill()
    assert (result.exit_code, result.text) == (0, "begun")
