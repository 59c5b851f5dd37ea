"""An agent that goes in circles, watched by real schedulers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from events.models import Event
from events.states import EventType
from inbox.models import InboxItem
from inbox.services import close_item
from inbox.states import ItemStatus
from orchestration.models import Task
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_project, make_task
from runtime.models import RunLog, TaskRun
from runtime.states import RunStatus
from tests.schedulers import Site, is_alive, site

pytestmark = pytest.mark.django_db(transaction=True)

LOOP = ["noop: write same.txt x", "noop: sleep 0.1"] * 400 + ["noop: hang"]


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path, BBB_STUCK_SCAN_INTERVAL_S="0.3", BBB_STUCK_NUDGE_WAIT_S="0") as made:
        yield made


def nudge() -> RunLog | None:
    return RunLog.objects.filter(kind="system", body__type="nudge").first()


def question() -> InboxItem | None:
    return InboxItem.objects.filter(title__startswith="Going in circles", status=ItemStatus.OPEN).first()


def test_a_looping_agent_is_nudged_by_one_scheduler_asked_about_by_another_and_ended_by_the_answer(
    at: Site, tmp_path: Path
) -> None:
    project = make_project(tmp_path / "repo")
    make_agent(project)
    task = make_task(project, description="\n".join(LOOP))
    first = at.start()
    at.until(nudge, "the agent is nudged")
    first.kill()
    at.start()
    item = at.until(question, "a person is asked")
    run = TaskRun.objects.get()
    assert (item.run_id, item.options, run.status) == (run.pk, ["continue", "end"], RunStatus.RUNNING)
    assert "x Write" in item.content
    close_item(item, actor=ACTOR, action="answer", user_input="end")
    at.until(lambda: Task.objects.filter(pk=task.pk, status=TaskStatus.BLOCKED).exists(), "the run is ended")
    ended = TaskRun.objects.get()
    assert (ended.status, ended.epoch) == (RunStatus.INTERRUPTED, 1)
    assert ended.session_id and (Path(ended.workspace) / "same.txt").exists()
    at.until(lambda: not is_alive(run.pid), "its runner is gone")
    assert Event.objects.filter(type=EventType.ALERT_RAISED, payload__kind="stuck_repeat").count() == 1
    assert RunLog.objects.filter(kind="system", body__type="nudge").count() == 1
