"""Caps with a real scheduler and real runners: what reaches one stops, keeps its work, and can go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from inbox.models import InboxItem
from inbox.states import ItemStatus
from orchestration.git import run_git
from orchestration.services.agents import update_agent
from orchestration.services.tasks import update_task
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR
from runtime.models import TaskRun
from runtime.services.commands import retry_task
from runtime.states import RunStatus
from tests.hive import Hive

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.one_database  # the runner stops at the cap; what the books say of it, runtime/tests/test_allowances.py
def test_a_run_that_reaches_its_cap_keeps_its_work_and_goes_on_with_a_higher_one(hive: Hive) -> None:
    update_agent(hive.agent, actor=ACTOR, max_tokens=100)
    task = hive.task("write kept.txt", "cost 0.1", "run until [ -e go ]; do sleep 0.05; done", "finish Done.")
    hive.site.run_once()
    first = TaskRun.objects.get()
    assert (first.status, first.error_code) == (RunStatus.FAILED, "max_tokens")
    assert "kept.txt" in run_git(hive.repo, "show", "--name-only", first.head_commit)
    assert [item.title for item in InboxItem.objects.filter(status=ItemStatus.OPEN)] == [
        f"Stopped at a limit: {task.title}"
    ]
    update_agent(hive.agent, actor=ACTOR, max_tokens=1000)
    task.refresh_from_db()
    retry_task(task, actor=ACTOR)
    Path(first.workspace, "go").touch()
    hive.site.run_once()
    second = TaskRun.objects.exclude(pk=first.pk).get()
    assert (second.status, second.session_id) == (RunStatus.SUCCEEDED, first.session_id)
    assert not InboxItem.objects.filter(status=ItemStatus.OPEN, title__startswith="Stopped").exists()


def test_a_task_whose_limit_is_used_up_waits_until_it_is_raised(hive: Hive) -> None:
    task = hive.task("cost 0.5", "fail auth", limits={"usd": 0.5})
    hive.site.run_once()
    task.refresh_from_db()
    retry_task(task, actor=ACTOR)
    hive.site.run_once()
    task.refresh_from_db()
    assert (task.status, TaskRun.objects.count()) == (TaskStatus.TODO, 1)
    update_task(task, actor=ACTOR, limits={"usd": 2.0})
    hive.site.run_once()
    assert [float(run.cost_cap_usd or 0) for run in TaskRun.objects.order_by("attempt")] == [0.5, 1.5]
