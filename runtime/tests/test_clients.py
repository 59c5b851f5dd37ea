from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from inbox.models import InboxItem
from orchestration.models import Project, Task
from orchestration.scheduler import plan
from orchestration.states import AgentStatus, Reason, TaskStatus
from orchestration.tests.factories import make_agent, make_task
from runtime import clients, planning
from runtime.dispatcher import Dispatcher
from runtime.models import SchedulerInstance, TaskRun
from runtime.waiting import explain

pytestmark = pytest.mark.django_db


@pytest.fixture
def task(project: Project) -> Task:
    """A task whose only agent wants a client that has no login here."""
    make_agent(project, provider="claude_code")
    return make_task(project)


def test_a_provider_without_a_login_is_missing(task: Task) -> None:
    assert [error.code for error in clients.missing().values()] == ["client_login_missing"]


def test_a_login_in_the_environment_is_enough(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "dummy")
    assert clients.missing() == {}


def test_agents_that_take_no_tasks_need_no_client(project: Project) -> None:
    make_agent(project, provider="claude_code", status=AgentStatus.PAUSED)
    assert clients.missing() == {}


def test_a_task_waits_for_a_client_and_nothing_of_it_changes(task: Task) -> None:
    Dispatcher().dispatch()
    assert Task.objects.get().status == TaskStatus.TODO
    assert not TaskRun.objects.exists()


def test_the_inbox_says_once_what_is_missing(task: Task) -> None:
    dispatcher = Dispatcher()
    dispatcher.dispatch()
    dispatcher.dispatch()
    assert "no login" in InboxItem.objects.get().content


def test_another_agent_with_a_client_takes_the_task(task: Task) -> None:
    able = make_agent(task.project)
    room = planning.room(missing=clients.missing())
    assert [choice.agent_id for choice in plan(planning.candidates(room), room).start] == [able.pk]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="elsewhere the scheduler may be on another host")
def test_why_names_the_missing_client(task: Task) -> None:
    assert explain(task).reason == Reason.NO_CLIENT


def test_the_scheduler_command_refuses_with_one_line(task: Task) -> None:
    with pytest.raises(CommandError, match="has no login") as refusal:
        call_command("runscheduler")
    assert refusal.value.returncode == 2
    assert "\n" not in str(refusal.value)
    assert not SchedulerInstance.objects.exists()
