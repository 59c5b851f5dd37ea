"""Stuck detection while others work on the same run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from events import services as events
from events.models import Event
from events.states import EventType
from inbox import services as inbox
from inbox.exceptions import ItemClosed
from inbox.models import InboxItem
from inbox.states import ItemType, Resolution
from orchestration.models import Task
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_project, make_task
from orchestration.tests.races import meanwhile, race, result
from runtime.models import RunLog, StuckFinding, TaskRun
from runtime.services.finishing import finish_run
from runtime.stuck import delivery
from runtime.stuck.scanning import Scanner
from runtime.tests.factories import OWNER, ending
from runtime.tests.starts import begun, make_directory, own_home

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def home(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    settings.STUCK_NUDGE_WAIT_S = 0
    with own_home(settings, tmp_path) as home:
        yield home


@pytest.fixture
def run(tmp_path: Path) -> TaskRun:
    project = make_project(tmp_path / "repo")
    run = begun(make_task(project), make_agent(project))
    make_directory(run, tmp_path)
    return run


def loop(run: TaskRun) -> None:
    """Let the agent do the same thing twelve times, and no more of it be known than that."""
    run.refresh_from_db(fields=["log_seq"])
    bodies: list[tuple[str, dict[str, Any]]] = [("tool_call", {"name": "Bash"}), ("tool_result", {"text": "no"})] * 12
    RunLog.objects.bulk_create(
        RunLog(run=run, seq=seq, at=timezone.now(), kind=kind, body={"id": str((seq + 1) // 2), **body})
        for seq, (kind, body) in enumerate(bodies, start=run.log_seq + 1)
    )
    TaskRun.objects.filter(pk=run.pk).update(log_seq=run.log_seq + 24, log_offset=1)


def scan() -> int:
    return Scanner().scan("scheduler:test")


def deliver() -> int:
    return delivery.deliver(owner=OWNER)


def ask(run: TaskRun) -> InboxItem:
    for _ in range(2):
        loop(run)
        scan()
        deliver()
    return InboxItem.objects.get(item_type=ItemType.ALERT)


def finish(run: TaskRun, outcome: str) -> None:
    finish_run(TaskRun.objects.select_related("task__project", "agent").get(pk=run.pk), ending(outcome))


def test_of_schedulers_that_scan_at_once_one_nudges_and_one_asks(run: TaskRun) -> None:
    for _ in range(2):
        loop(run)
        assert Counter(race(scan, scan, scan)) == {0: 2, 1: 1}
        deliver()
    assert StuckFinding.objects.count() == 1
    assert InboxItem.objects.filter(item_type=ItemType.ALERT).count() == 1
    assert Event.objects.filter(type=EventType.ALERT_RAISED).count() == 1


def test_nobody_is_asked_about_a_run_that_ends_in_this_moment(run: TaskRun) -> None:
    loop(run)
    scan()
    deliver()
    loop(run)
    with events.unit_of_work():
        finish(run, "finished")
        late = meanwhile(scan)
    assert result(late) == 0
    assert not InboxItem.objects.filter(item_type=ItemType.ALERT).exists()


def test_an_answer_to_a_run_that_ends_in_this_moment_comes_too_late(run: TaskRun) -> None:
    item = ask(run)
    with events.unit_of_work():
        finish(run, "finished")
        late = meanwhile(lambda: inbox.close_item(item, actor=ACTOR, action="answer", user_input="end"))
    assert isinstance(result(late), ItemClosed)
    assert InboxItem.objects.get(pk=item.pk).resolution == Resolution.OBSOLETE


def test_a_run_that_ends_while_end_is_carried_out_is_not_held(run: TaskRun) -> None:
    inbox.close_item(ask(run), actor=ACTOR, action="answer", user_input="end")
    with events.unit_of_work():
        finish(run, "finished")
        late = meanwhile(deliver)
    result(late)
    task = Task.objects.get()
    assert (task.status, task.is_held) == (TaskStatus.REVIEW, False)


def test_of_schedulers_that_deliver_at_once_one_carries_the_answer_out(run: TaskRun) -> None:
    inbox.close_item(ask(run), actor=ACTOR, action="answer", user_input="end")
    assert Counter(race(deliver, deliver)) == {0: 1, 1: 1}
    assert Event.objects.filter(type=EventType.TASK_INTERVENTION_AUDIT).count() == 1
