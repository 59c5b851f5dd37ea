from __future__ import annotations

import json
from pathlib import Path

import pytest

from beebeebrain.cli.errors import ExitCode
from beebeebrain.tests.cli.program import Bbb
from events.ingest import TYPES
from events.models import Event
from orchestration.models import Project
from orchestration.tests.factories import make_agent, make_task
from runtime.models import TaskRun
from runtime.tests.factories import running


@pytest.fixture
def run(project: Project) -> TaskRun:
    return running(make_task(project), make_agent(project))


def written() -> list[Event]:
    return list(Event.objects.filter(type__in=TYPES).order_by("id"))


def test_a_line_is_written_for_the_present_start_of_a_run(bbb: Bbb, run: TaskRun) -> None:
    done = bbb("emit", "log", "3 of 214 tests failed", "--run", str(run.pk), "--level", "warning", "--source", "ci")
    assert (done.code, done.out) == (0, "Written: 1.\n"), done.err
    [event] = written()
    assert (event.type, event.run_id, event.payload["epoch"]) == ("run.log", run.pk, run.epoch)
    assert (event.payload["text"], event.payload["level"]) == ("3 of 214 tests failed", "warning")


def test_a_superseded_start_is_a_conflict(bbb: Bbb, run: TaskRun) -> None:
    words = ("--run", str(run.pk), "--epoch", str(run.epoch - 1), "--json")
    assert bbb("emit", "progress", "half of it", *words).error == (ExitCode.CONFLICT, "stale_run")
    assert bbb("emit", "progress", "-", *words[:2], stdin="half of it\n").code == 0
    assert [event.payload["text"] for event in written()] == ["half of it"]


def test_an_alert_is_raised_in_the_only_project(bbb: Bbb, run: TaskRun, tmp_path: Path) -> None:
    details = tmp_path / "details.json"
    details.write_text('{"job": 812}')
    words = ("--kind", "ci_failed", "--task", run.task.key, "--details", str(details), "--json")
    assert bbb("emit", "alert", "The build fails.", *words).json == {"accepted": 1}
    [event] = written()
    assert (event.project_id, event.task_id, event.payload["details"]) == (
        run.task.project_id,
        run.task_id,
        {"job": 812},
    )


def test_many_entries_are_written_with_one_key_once(bbb: Bbb, run: TaskRun) -> None:
    entry = {"type": "run.log", "run": run.pk, "epoch": run.epoch, "text": "Hello"}
    for _ in range(2):
        assert bbb("emit", "entries", "-", "--idempotency-key", "k", stdin=json.dumps([entry] * 3)).code == 0
    assert len(written()) == 3


def test_a_file_that_is_no_list_is_not_sent(bbb: Bbb) -> None:
    assert bbb("emit", "entries", "-", "--json", stdin="{}").error == (ExitCode.USAGE, "usage")
