from __future__ import annotations

from pathlib import Path

import pytest

from inbox import services as inbox
from inbox.models import InboxItem
from inbox.states import ItemType
from orchestration.models import Agent, Project, Task
from orchestration.services.dependencies import add_dependency, remove_dependency
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_task
from runtime.models import TaskRun
from runtime.rundir import RunDirectory
from runtime.services import answers, commands
from runtime.services.answers import deliver_answers
from runtime.services.finishing import ask_key, finish_run
from runtime.states import RunStatus
from runtime.tests.factories import OWNER, ending
from runtime.tests.starts import begun, claimed, make_directory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]

ASK_ID = "1.1"


@pytest.fixture
def run(project: Project, agent: Agent) -> TaskRun:
    return begun(make_task(project), agent)


@pytest.fixture
def directory(run: TaskRun, tmp_path: Path) -> RunDirectory:
    return make_directory(run, tmp_path)


def ask(run: TaskRun) -> InboxItem:
    return inbox.ask(
        ItemType.AWAIT_USER_INPUT,
        task=run.task,
        title="Question",
        content="Which colour?",
        dedupe_key=ask_key(run, ASK_ID),
        run_id=run.pk,
        actor=f"agent:{run.agent_id}",
    )


def answer(item: InboxItem, text: str = "Blue") -> None:
    inbox.close_item(item, actor=ACTOR, user_input=text)


def is_delivered() -> bool:
    return InboxItem.objects.get(item_type=ItemType.AWAIT_USER_INPUT).delivered_at is not None


def test_a_runner_that_waits_is_given_the_answer_once(run: TaskRun, directory: RunDirectory) -> None:
    answer(ask(run))
    assert deliver_answers(owner=OWNER) == 1
    assert directory.received(f"answer-{ASK_ID}") == {"text": "Blue"}
    assert is_delivered()
    assert deliver_answers(owner=OWNER) == 0


def test_an_answer_that_cannot_be_left_now_is_left_later(run: TaskRun, directory: RunDirectory) -> None:
    answer(ask(run))
    aside = directory.path.rename(directory.path.with_name("aside"))
    assert deliver_answers(owner=OWNER) == 0
    aside.rename(directory.path)
    assert deliver_answers(owner=OWNER) == 1


def test_answers_that_cannot_be_left_do_not_keep_others_from_it(
    run: TaskRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "PAGE", 1)
    answer(ask(run))  # its directory is gone
    other = begun(make_task(run.task.project), make_agent(run.task.project, name="other"))
    directory = make_directory(other, tmp_path)
    answer(ask(other))
    assert deliver_answers(owner=OWNER) == 1
    assert directory.received(f"answer-{ASK_ID}") == {"text": "Blue"}


def test_a_question_without_an_answer_is_left(run: TaskRun, directory: RunDirectory) -> None:
    ask(run)
    assert deliver_answers(owner=OWNER) == 0
    assert directory.received(f"answer-{ASK_ID}") is None


def test_the_scheduler_that_owns_the_run_delivers(run: TaskRun, directory: RunDirectory) -> None:
    answer(ask(run))
    assert deliver_answers(owner="scheduler-two") == 0
    assert directory.received(f"answer-{ASK_ID}") is None
    assert not is_delivered()


def test_a_parked_run_is_resumed_with_the_answer(run: TaskRun) -> None:
    item = ask(run)
    finish_run(run, ending("parked", message=ASK_ID))
    answer(item)
    assert deliver_answers(owner=OWNER) == 1
    resumed = TaskRun.objects.select_related("task").get()
    assert (resumed.status, resumed.owner, resumed.task.status) == (RunStatus.QUEUED, "", TaskStatus.RUNNING)
    assert resumed.prompt == "You asked: Which colour?\n\nThe answer: Blue"
    assert is_delivered()


def test_the_resumed_run_goes_on_as_the_same_attempt_with_the_next_epoch(run: TaskRun, agent: Agent) -> None:
    item = ask(run)
    finish_run(run, ending("parked", message=ASK_ID))
    answer(item)
    deliver_answers(owner=OWNER)
    again = claimed(run.task, agent)
    assert (again.pk, again.attempt, again.epoch, again.session_id) == (run.pk, 1, 2, "session-1")


def test_a_blocked_agent_is_resumed_with_what_unblocks_it(run: TaskRun) -> None:
    finish_run(run, ending("blocked", message="No port is free."))
    answer(InboxItem.objects.get(), "Take 8080")
    assert deliver_answers(owner=OWNER) == 1
    assert TaskRun.objects.get().prompt == "You asked: No port is free.\n\nThe answer: Take 8080"


def test_any_scheduler_resumes_a_run_that_nobody_owns(run: TaskRun) -> None:
    finish_run(run, ending("blocked", message="?"))
    answer(InboxItem.objects.get())
    assert deliver_answers(owner="scheduler-two") == 1


@pytest.mark.parametrize("outcome", ["finished", "failed"])
def test_an_answer_to_a_run_that_has_ended_is_put_away(run: TaskRun, outcome: str) -> None:
    answer(ask(run))
    finish_run(run, ending(outcome, code="auth"))
    run.refresh_from_db()
    assert deliver_answers(owner=OWNER) == 1
    assert is_delivered()
    assert TaskRun.objects.get().status == run.status


def test_the_answer_to_a_question_of_a_runner_that_died_resumes_the_run(run: TaskRun) -> None:
    item = ask(run)
    finish_run(run, ending("interrupted", code="process_gone"))
    answer(item)
    deliver_answers(owner=OWNER)
    resumed = TaskRun.objects.get()
    assert (resumed.status, "Blue" in resumed.prompt) == (RunStatus.QUEUED, True)


def test_a_question_that_was_overtaken_by_hand_is_never_delivered(run: TaskRun) -> None:
    ask(run)
    finish_run(run, ending("parked", message=ASK_ID))
    commands.resume_task(Task.objects.get(), actor=ACTOR)
    assert deliver_answers(owner=OWNER) == 0
    assert not InboxItem.objects.open().exists()


def test_an_answer_waits_for_what_the_blocked_task_was_made_to_wait_for(run: TaskRun, project: Project) -> None:
    finish_run(run, ending("blocked", message="?"))
    answer(InboxItem.objects.get())
    edge = add_dependency(Task.objects.get(pk=run.task_id), depends_on=make_task(project), actor=ACTOR)
    assert deliver_answers(owner=OWNER) == 0
    assert Task.objects.get(pk=run.task_id).status == TaskStatus.BLOCKED
    remove_dependency(edge, actor=ACTOR)
    assert deliver_answers(owner=OWNER) == 1
