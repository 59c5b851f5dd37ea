from __future__ import annotations

import json
import subprocess
import sys
from signal import SIGINT
from typing import Any

import pytest
from django.utils import timezone

from beebeebrain.cli.errors import ExitCode
from beebeebrain.tests.cli.program import ROOT, Bbb
from beebeebrain.tests.cli.servers import Answer, serving
from events.models import Event
from orchestration.models import Project, Task
from orchestration.services.tasks import move_task, update_task
from orchestration.states import TaskStatus
from orchestration.tests.factories import make_task


@pytest.fixture
def task(project: Project) -> Task:
    return make_task(project, title="Write it")


def told(*ids: int) -> Answer:
    rows = [{"id": id_, "at": "2026-01-02T03:04:05Z", "type": "x", "task_id": 1, "run_id": None} for id_ in ids]
    return Answer(200, {"next": None, "results": [row | {"payload": {"title": f"event {row['id']}"}} for row in rows]})


def cursor(id_: int) -> Answer:
    return Answer(200, {"cursor": id_})


def test_events_come_in_their_order(bbb: Bbb, project: Project, task: Task) -> None:
    rows = [json.loads(line) for line in bbb("events", "--json").out.splitlines()]
    assert [row["id"] for row in rows] == sorted(Event.objects.values_list("pk", flat=True))
    last = bbb("events", "-n", "1").out
    assert (last.count("\n"), "task.created" in last, f"task {task.pk}" in last, "Write it" in last) == (
        1,
        True,
        True,
        True,
    )


def test_events_are_chosen_by_what_they_are_about(bbb: Bbb, task: Task) -> None:
    other = make_task(task.project)

    def types(*words: str) -> list[str]:
        return [json.loads(line)["type"] for line in bbb("events", "--json", *words).out.splitlines()]

    assert types("--task", other.key) == ["task.created"]
    assert types("-p", "hive", "--type", "project.") == ["project.created"]
    assert types("--type", "project.created", "-t", "task.created") == [
        "project.created",
        "task.created",
        "task.created",
    ]
    assert types("--run", "7") == []


def test_events_behind_one_are_shown_to_the_end(bbb: Bbb, task: Task) -> None:
    first = Event.objects.order_by("pk").first()
    assert first is not None
    fields: dict[str, Any] = {"type": "task.created", "actor": "x", "task_id": task.pk, "at": timezone.now()}
    Event.objects.bulk_create(Event(**fields, payload={"title": str(number)}) for number in range(401))
    rows = bbb("events", "--after", str(first.pk), "--json").out.splitlines()
    assert len(rows) == Event.objects.count() - 1
    assert json.loads(rows[-1])["payload"]["title"] == "400"


def test_what_happens_is_followed(bbb: Bbb, task: Task) -> None:
    with bbb.started("events", "--follow", "--task", task.key, "--json") as followed:
        followed.wait_for("task.created")
        make_task(task.project, title="Not asked for")
        update_task(task, title="New", actor="user:1")
        followed.wait_for("task.updated")
        assert followed.stop(SIGINT) == ExitCode.INTERRUPTED
        rows = [json.loads(line)["type"] for line in followed.out.read_text().splitlines()]
        assert (rows, followed.err.read_text()) == (["task.created", "task.updated"], "")


def test_a_move_is_told_in_a_few_words(bbb: Bbb, task: Task) -> None:
    move_task(task, TaskStatus.CANCELLED, actor="user:1", reason="not wanted")
    assert "todo → cancelled (not wanted)" in bbb("events", "-n", "1").out


def test_a_server_that_goes_and_comes_back_is_waited_for(stranger: Bbb) -> None:
    away = [Answer()] * 4
    answers = [cursor(1), told(1), told(2), *away, told(3), cursor(3), told(4), told()]
    with serving(*answers) as day:
        stranger.environment = {"BBB_URL": day.url, "BBB_TOKEN": "bbb_12345678"}
        with stranger.started("events", "--follow") as followed:
            followed.wait_for("event 4")
            followed.stop(SIGINT)
            assert [line.split()[-1] for line in followed.out.read_text().splitlines()] == ["1", "2", "3", "4"]
            said = followed.err.read_text()
            assert (said.count("Waiting for it"), said.count("is back")) == (1, 1)
    assert [path.rpartition("after=")[2].partition("&")[0] for _, path, _ in day.asked if "after=" in path][:2] == [
        "1",
        "2",
    ]


def test_a_log_that_was_replaced_is_not_followed_in_silence(stranger: Bbb) -> None:
    with serving(cursor(9), told(9), *[Answer()] * 4, told(), cursor(3)) as day:
        stranger.environment = {"BBB_URL": day.url, "BBB_TOKEN": "bbb_12345678"}
        with stranger.started("events", "-f") as followed:
            assert followed.process.wait(60) == ExitCode.CONFLICT
            assert "The log ends before event 9" in followed.err.read_text()


def test_a_token_revoked_in_between_ends_it(stranger: Bbb) -> None:
    refused = Answer(401, {"code": "token_invalid", "detail": "No."})
    with serving(cursor(1), told(1), refused) as day:
        stranger.environment = {"BBB_URL": day.url, "BBB_TOKEN": "bbb_12345678"}
        with stranger.started("events", "-f") as followed:
            assert followed.process.wait(60) == ExitCode.NOT_ALLOWED


def test_whoever_has_read_enough_ends_it(bbb: Bbb, task: Task) -> None:
    command = f"{sys.executable} -m beebeebrain.cli events --follow --json | head -n 1; echo ${{PIPESTATUS[0]}}"
    environment = bbb._environment({})
    done = subprocess.Popen(
        ["bash", "-c", command], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with done:
        update_until_ended(task, done)
        out, err = done.communicate()
    assert (out.splitlines()[-1], err) == (str(int(ExitCode.PIPE_CLOSED)), "")


def update_until_ended(task: Task, process: subprocess.Popen[Any]) -> None:
    """Let something happen until the reader has gone: only then does writing fail."""
    number = 0
    while process.poll() is None:
        number += 1
        update_task(task, title=f"Title {number}", actor="user:1")
        try:
            process.wait(0.3)
        except subprocess.TimeoutExpired:
            continue
