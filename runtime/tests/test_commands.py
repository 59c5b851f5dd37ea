from __future__ import annotations

from collections.abc import Callable

import pytest

from events.models import Event
from events.states import EventType
from inbox import services as inbox
from inbox.exceptions import UserInputRequired
from inbox.models import InboxItem
from orchestration.exceptions import Archived, InvalidTransition, VersionConflict
from orchestration.models import Agent, Task
from orchestration.services.dependencies import add_dependency
from orchestration.services.tasks import update_task
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_task, set_status
from runtime.exceptions import DependenciesUnmet, NothingToResume, RunNotActive
from runtime.models import TaskRun
from runtime.services import commands
from runtime.services.finishing import finish_run
from runtime.services.running import run_task
from runtime.states import RunStatus
from runtime.tests.factories import ending, running

pytestmark = pytest.mark.django_db


def audits() -> list[tuple[str, str]]:
    found = Event.objects.filter(type=EventType.TASK_INTERVENTION_AUDIT)
    return [(event.payload["command"], event.payload["outcome"]) for event in found]


def test_pause_holds_a_task_that_has_not_begun_and_resume_lets_it_go(task: Task) -> None:
    assert commands.pause_task(task, actor=ACTOR).is_held
    assert not commands.resume_task(task, actor=ACTOR).is_held


def test_cancel_of_a_running_task_is_an_intent(task: Task, agent: Agent) -> None:
    run = running(task, agent)
    cancelled = commands.cancel_task(run.task, actor=ACTOR)
    assert (cancelled.status, cancelled.cancel_requested_at is None) == (TaskStatus.RUNNING, False)


def test_cancel_of_a_waiting_retry_is_immediate(task: Task, agent: Agent) -> None:
    finish_run(running(task, agent), ending("failed", code="overloaded"))
    commands.cancel_task(Task.objects.get(), actor=ACTOR)
    assert TaskRun.objects.get(attempt=2).status == RunStatus.CANCELLED
    assert Task.objects.get().status == TaskStatus.CANCELLED


def test_retry_gives_up_the_interrupted_run(task: Task, agent: Agent) -> None:
    finish_run(running(task, agent), ending("blocked", message="?"))
    commands.retry_task(Task.objects.get(), actor=ACTOR)
    assert (Task.objects.get().status, TaskRun.objects.get().status) == (TaskStatus.TODO, RunStatus.CANCELLED)


@pytest.mark.breaks_invariants
@pytest.mark.parametrize(
    ("command", "status"),
    [
        (commands.pause_task, TaskStatus.DONE),
        (commands.resume_task, TaskStatus.REVIEW),
        (commands.retry_task, TaskStatus.TODO),
        (commands.cancel_task, TaskStatus.DONE),
    ],
)
def test_commands_the_status_does_not_allow_are_refused(task: Task, command: object, status: TaskStatus) -> None:
    set_status(task, status)
    with pytest.raises(InvalidTransition) if command != commands.resume_task else pytest.raises(NothingToResume):
        command(task, actor=ACTOR)  # type: ignore[operator]
    assert Task.objects.get().status == status


def test_each_command_is_audited_once_refused_or_not(task: Task) -> None:
    commands.pause_task(task, actor=ACTOR)
    with pytest.raises(InvalidTransition):
        commands.retry_task(task, actor=ACTOR)
    with pytest.raises(VersionConflict):
        commands.cancel_task(task, actor=ACTOR, expected_version=99)
    assert audits() == [("pause", "applied"), ("retry", "refused"), ("cancel", "conflict")]


def test_asking_twice_for_a_cancel_changes_nothing_more(task: Task, agent: Agent) -> None:
    run = running(task, agent)
    first = commands.cancel_task(run.task, actor=ACTOR)
    assert commands.cancel_task(Task.objects.get(), actor=ACTOR).version == first.version


def test_a_command_that_finds_its_aim_reached_counts_as_applied_and_changes_nothing(task: Task) -> None:
    for command in (commands.pause_task, commands.cancel_task):
        version = command(task, actor=ACTOR).version
        assert command(task, actor=ACTOR).version == version
    assert audits() == [("pause", "applied")] * 2 + [("cancel", "applied")] * 2


def test_resume_heeds_the_version_whichever_way_it_goes(task: Task, agent: Agent) -> None:
    run = running(task, agent)
    commands.pause_task(task, actor=ACTOR)
    for outcome in (None, "interrupted"):
        if outcome:
            finish_run(run, ending(outcome))
        with pytest.raises(VersionConflict):
            commands.resume_task(task, actor=ACTOR, expected_version=1)
    assert commands.resume_task(task, actor=ACTOR, expected_version=task.version).status == TaskStatus.RUNNING


def test_a_blocked_task_is_not_resumed_before_what_it_was_made_to_wait_for(task: Task, agent: Agent) -> None:
    finish_run(running(task, agent), ending("blocked", message="?"))
    parent = make_task(task.project)
    add_dependency(Task.objects.get(pk=task.pk), depends_on=parent, actor=ACTOR)
    with pytest.raises(DependenciesUnmet) as refusal:
        commands.resume_task(task, actor=ACTOR)
    assert refusal.value.data == {"unmet": [parent.pk], "status": "blocked"}
    assert InboxItem.objects.open().exists()


def test_a_pause_does_not_outlive_the_status_it_was_meant_for(task: Task, agent: Agent) -> None:
    run = running(task, agent)
    commands.pause_task(run.task, actor=ACTOR)
    finish_run(run, ending("blocked", message="?"))
    task = Task.objects.get()
    assert (task.status, task.is_held) == (TaskStatus.BLOCKED, False)


def test_a_run_that_has_ended_is_not_cancelled_and_the_refusal_is_on_record(task: Task, agent: Agent) -> None:
    run = running(task, agent)
    finish_run(run, ending("finished"))
    with pytest.raises(RunNotActive):
        commands.cancel_run(run, actor=ACTOR)
    assert Task.objects.get().status == TaskStatus.REVIEW
    assert audits() == [("cancel", "refused")]


def test_a_run_of_another_version_is_not_cancelled(task: Task, agent: Agent) -> None:
    run = running(task, agent)
    with pytest.raises(VersionConflict):
        commands.cancel_run(run, actor=ACTOR, expected_version=run.version + 1)
    assert Task.objects.get().cancel_requested_at is None
    assert audits() == [("cancel", "conflict")]


def test_what_is_approved_is_not_reviewed_again(task: Task, agent: Agent) -> None:
    finish_run(running(task, agent), ending("finished"))
    inbox.approve_task(task, actor=ACTOR)
    with pytest.raises(InvalidTransition, match="approved and waits to be merged"):
        inbox.approve_task(task, actor=ACTOR)
    with pytest.raises(InvalidTransition):
        inbox.request_changes(task, changes="Blue", actor=ACTOR)


def test_changes_that_say_nothing_are_refused_on_record(task: Task, agent: Agent) -> None:
    finish_run(running(task, agent), ending("finished"))
    with pytest.raises(UserInputRequired):
        inbox.request_changes(task, changes=" ", actor=ACTOR)
    assert audits() == [("request_changes", "refused")]


@pytest.mark.parametrize(
    "command", [commands.retry_task, commands.resume_task, commands.pause_task, commands.cancel_task, run_task]
)
def test_an_archived_task_takes_no_command(task: Task, agent: Agent, command: Callable[..., Task]) -> None:
    finish_run(running(task, agent), ending("failed", code="auth"))
    update_task(Task.objects.get(), actor=ACTOR, is_archived=True)
    with pytest.raises(Archived):
        command(task, actor=ACTOR)
    assert (Task.objects.get().status, audits()[-1][1]) == (TaskStatus.FAILED, "refused")
