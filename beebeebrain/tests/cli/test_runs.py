from __future__ import annotations

from pathlib import Path
from signal import SIGINT
from typing import Any

import pytest
from django.utils import timezone

from beebeebrain.cli.errors import ExitCode
from beebeebrain.tests.cli.program import Bbb
from orchestration.models import Project
from orchestration.tests.factories import git, make_agent, make_task
from runtime.models import RunLog, TaskRun
from runtime.services.finishing import finish_run
from runtime.states import LogKind
from runtime.tests.factories import ending, running


@pytest.fixture
def run(project: Project) -> TaskRun:
    return running(make_task(project), make_agent(project, name="Ada"))


def say(run: TaskRun, *bodies: dict[str, Any], kind: LogKind = LogKind.TEXT) -> None:
    last = RunLog.objects.filter(run=run).count()
    for seq, body in enumerate(bodies, last + 1):
        RunLog.objects.create(run=run, seq=seq, at=timezone.now(), kind=kind, body=body)


def test_runs_are_listed_with_their_cost(bbb: Bbb, run: TaskRun) -> None:
    finish_run(run, ending("failed", code="auth"))
    words = bbb("runs", "list").out.splitlines()[1].split()
    assert words[:6] == [str(run.pk), str(run.task_id), "1", "failed", "2", "$0.0100"]
    for filters in (["--task", run.task.key], ["-a", "Ada"], ["-p", "hive"], ["--status", "failed"]):
        assert [row["id"] for row in bbb("runs", "list", "--json", *filters).json] == [run.pk]
    assert bbb("runs", "list", "--status", "running", "--json").json == []


def test_a_run_is_shown(bbb: Bbb, run: TaskRun) -> None:
    assert "status " in bbb("runs", "show", str(run.pk)).out
    assert bbb("runs", "show", str(run.pk), "--json").json["task"] == run.task_id


def test_a_log_shows_words_calls_and_figures(bbb: Bbb, run: TaskRun) -> None:
    say(run, {"text": "Hello\nthere"})
    say(run, {"name": "Bash", "input": {"command": "ls"}}, kind=LogKind.TOOL_CALL)
    say(run, {"type": "usage", "token_in": 5, "turns": 0}, kind=LogKind.SYSTEM)
    shown = [line[10:] for line in bbb("runs", "logs", str(run.pk)).out.splitlines()]
    assert shown == ["      Hello", "      there", '→     Bash {"command": "ls"}', "*     usage: token_in 5"]
    assert [line[10:] for line in bbb("runs", "logs", str(run.pk), "--after", "2").out.splitlines()] == shown[3:]


def test_a_log_as_json_is_one_line_each(bbb: Bbb, run: TaskRun) -> None:
    say(run, {"text": "a\nb"}, {"text": "c"})
    lines = bbb("runs", "logs", str(run.pk), "--json").out.splitlines()
    assert [line.count('"seq"') for line in lines] == [1, 1]


def test_a_long_log_is_shown_to_the_end(bbb: Bbb, run: TaskRun) -> None:
    now = timezone.now()
    RunLog.objects.bulk_create(
        RunLog(run=run, seq=seq, at=now, kind=LogKind.TEXT, body={"text": str(seq)}) for seq in range(1, 2002)
    )
    assert bbb("runs", "logs", str(run.pk)).out.splitlines()[-1].endswith(" 2001")


def test_a_log_is_followed_until_the_run_ends(bbb: Bbb, run: TaskRun) -> None:
    say(run, {"text": "first"})
    with bbb.started("runs", "logs", str(run.pk), "--follow") as followed:
        followed.wait_for("first")
        say(run, {"text": "second"})
        followed.wait_for("second")
        say(run, {"text": "last"})
        finish_run(run, ending("finished"))
        assert followed.process.wait(60) == 0
        assert followed.out.read_text().splitlines()[-1].endswith("last")


def test_ctrl_c_ends_it_without_a_word(bbb: Bbb, run: TaskRun) -> None:
    say(run, {"text": "first"})
    with bbb.started("runs", "logs", str(run.pk), "-f") as followed:
        followed.wait_for("first")
        assert followed.stop(SIGINT) == ExitCode.INTERRUPTED
        assert followed.err.read_text() == ""


def test_a_diff_is_shown(bbb: Bbb, run: TaskRun) -> None:
    repo = Path(run.task.project.root_path)
    base = git(repo, "rev-parse", "main")
    git(repo, "checkout", "-q", "-b", "bbb/task-1")
    (repo / "new.txt").write_text("new\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "Work")
    TaskRun.objects.filter(pk=run.pk).update(base_commit=base, branch="bbb/task-1")
    assert "+new\n" in bbb("runs", "diff", str(run.pk)).out
    assert bbb("runs", "diff", str(run.pk), "--stat").out.splitlines()[1].split() == ["added", "1", "0", "new.txt"]
    assert bbb("runs", "diff", str(run.pk), "--json").json["files"][0]["path"] == "new.txt"
    _, shown = bbb.on_terminal("runs", "diff", str(run.pk))
    assert "\x1b[32m+new" in shown
    _, plain = bbb.on_terminal("runs", "diff", str(run.pk), NO_COLOR="1")
    assert "\x1b" not in plain


def test_a_run_is_asked_to_stop(bbb: Bbb, run: TaskRun) -> None:
    assert "is asked to stop" in bbb("runs", "cancel", str(run.pk)).out
    run.task.refresh_from_db()
    assert run.task.cancel_requested_at is not None


def test_a_run_that_has_ended_cannot_be_stopped(bbb: Bbb, run: TaskRun) -> None:
    finish_run(run, ending("failed", code="auth"))
    assert bbb("runs", "cancel", str(run.pk), "--json").error == (ExitCode.CONFLICT, "run_not_active")
