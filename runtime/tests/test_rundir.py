from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.rundir import ExitRecord, RunDirectory, RunDirectoryExists, RunRequest, StartRecord, Usage

REQUEST = RunRequest(
    run_id=1, epoch=1, task_id=1, agent_id=1, trace_id="t", provider="noop", model="", prompt="Go", system_append="", workspace="/w",
    session_id="s", is_resumed=False, setup_command="", checks=[], permission_mode="dontAsk", allowed_tools=[],
    max_turns=1, max_cost_usd=0, session_cost_usd=0, timeout_s=1, idle_timeout_s=1, ask_wait_s=1, max_check_rounds=1,
)  # fmt: skip


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "runs" / "1.1", REQUEST)


def test_a_run_directory_is_made_once(directory: RunDirectory) -> None:
    with pytest.raises(RunDirectoryExists):
        RunDirectory.create(directory.path, replace(REQUEST, prompt="Other"))
    assert directory.request() == REQUEST


def test_records_read_back_as_written(directory: RunDirectory) -> None:
    start = StartRecord(pid=1, start_ticks=2, boot_id="b", pgid=1)
    ended = ExitRecord(outcome="finished", usage=Usage(token_in=3, models={"m": {"token_in": 3}}))
    directory.write_start(start)
    directory.write_exit(ended)
    assert (directory.start(), directory.exit()) == (start, ended)


def test_what_is_not_there_is_none(directory: RunDirectory) -> None:
    assert (directory.start(), directory.exit(), directory.received("cancel")) == (None, None, None)


def test_half_a_line_is_left_for_later(directory: RunDirectory) -> None:
    whole = json.dumps({"seq": 1}) + "\n"
    directory.events_path.write_text(whole + '{"seq": 2')
    assert list(directory.lines()) == [({"seq": 1}, len(whole))]


def test_reading_goes_on_from_the_offset(directory: RunDirectory) -> None:
    directory.events_path.write_text('{"seq": 1}\n{"seq": 2}\n')
    [(_, offset), (second, _)] = list(directory.lines())
    assert [line for line, _ in directory.lines(offset)] == [second]


def test_nobody_else_may_read_it(directory: RunDirectory) -> None:
    assert directory.path.stat().st_mode & 0o077 == 0


def test_a_request_of_another_version_is_read(directory: RunDirectory) -> None:
    given = json.loads((directory.path / "request.json").read_text())
    del given["agent_id"]
    (directory.path / "request.json").write_text(json.dumps({**given, "of_tomorrow": True}))
    assert directory.request() == replace(REQUEST, agent_id=0)
