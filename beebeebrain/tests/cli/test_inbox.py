from __future__ import annotations

from typing import Any

import pytest

from beebeebrain.cli.errors import ExitCode
from beebeebrain.tests.cli.program import Bbb
from inbox import services
from inbox.models import InboxItem
from inbox.states import ItemType
from orchestration.models import Project, Task
from orchestration.states import TaskStatus
from orchestration.tests.factories import make_task, set_status


@pytest.fixture
def task(project: Project) -> Task:
    return make_task(project)


@pytest.fixture
def question(task: Task) -> InboxItem:
    return ask(task, title="Which order?", content="By what?", options=["by count", "by alphabet"])


def ask(task: Task, item_type: ItemType = ItemType.AWAIT_USER_INPUT, **fields: Any) -> InboxItem:
    return services.ask(item_type, task=task, actor="agent:1", **{"title": "?", "dedupe_key": item_type} | fields)


def review(task: Task) -> InboxItem:
    return ask(set_status(task, TaskStatus.REVIEW), ItemType.TASK_COMPLETED, title="Review: it")


def test_what_is_open_is_listed(bbb: Bbb, task: Task, question: InboxItem) -> None:
    alert = ask(task, ItemType.ALERT)
    services.close_item(alert, actor="user:1")

    def ids(*words: str) -> list[int]:
        return [row["id"] for row in bbb("inbox", "list", "--json", *words).json]

    assert ids() == [question.pk]
    assert ids("--status", "closed") == [alert.pk]
    assert ids("--status", "any") == [alert.pk, question.pk]
    assert ids("--status", "any", "--type", "alert") == [alert.pk]
    assert ids("--task", task.key, "-p", "hive", "--unread") == [question.pk]
    shown = bbb("inbox", "list").out
    assert "await_user_input  open    " in shown
    assert shown.rstrip().endswith("Which order?")


def test_an_item_shows_what_is_asked_and_the_answers(bbb: Bbb, question: InboxItem) -> None:
    shown = bbb("inbox", "show", str(question.pk)).out
    assert shown.startswith("Which order?\n")
    assert shown.endswith("\nBy what?\n\n1. by count\n2. by alphabet\n")


def test_a_question_is_answered_in_words(bbb: Bbb, question: InboxItem) -> None:
    done = bbb("inbox", "answer", str(question.pk), "By length")
    assert (done.code, done.out) == (0, f"Closed {question.pk} (answered): Which order?\n")
    assert InboxItem.objects.get().user_input == "By length"


def test_a_question_is_answered_by_number(bbb: Bbb, question: InboxItem) -> None:
    assert bbb("inbox", "answer", str(question.pk), "-o", "2", "--json").json["user_input"] == "by alphabet"


def test_an_answer_that_is_not_offered_has_no_number(bbb: Bbb, question: InboxItem) -> None:
    assert bbb("inbox", "answer", str(question.pk), "-o", "3", "--json").error == (ExitCode.USAGE, "usage")
    assert bbb("inbox", "answer", str(question.pk), "x", "-o", "1", "--json").error == (ExitCode.USAGE, "usage")


def test_an_answer_comes_from_stdin(bbb: Bbb, question: InboxItem) -> None:
    assert bbb("inbox", "answer", str(question.pk), "-F", "-", stdin="line\nline\n").code == 0
    assert InboxItem.objects.get().user_input == "line\nline"


def test_an_editor_shows_the_question(bbb: Bbb, question: InboxItem) -> None:
    code, _ = bbb.on_terminal("inbox", "answer", str(question.pk), EDITOR=f"cp -t {bbb.folder}")
    assert code == ExitCode.USAGE
    shown = (bbb.folder / "message.md").read_text()
    assert "Which order?\n\nBy what?\n1. by count" in shown


def test_an_answer_comes_once(bbb: Bbb, question: InboxItem) -> None:
    bbb("inbox", "answer", str(question.pk), "a")
    assert bbb("inbox", "answer", str(question.pk), "b", "--json").error == (ExitCode.CONFLICT, "item_closed")
    assert InboxItem.objects.get().user_input == "a"


def test_a_review_is_approved(bbb: Bbb, task: Task) -> None:
    assert "(approved): Review: it" in bbb("inbox", "approve", str(review(task).pk)).out


def test_a_review_is_sent_back(bbb: Bbb, task: Task) -> None:
    assert bbb("inbox", "request-changes", str(review(task).pk), "-m", "Shorter").code == 0
    assert Task.objects.get().status == TaskStatus.TODO


def test_an_alert_is_closed_and_read(bbb: Bbb, task: Task) -> None:
    alert = ask(task, ItemType.ALERT)
    assert bbb("inbox", "read", str(alert.pk), "--json").json["is_read"] is True
    assert bbb("inbox", "close", str(alert.pk), "--json").json["resolution"] == "dismissed"


def test_an_action_that_is_not_offered_is_refused(bbb: Bbb, question: InboxItem) -> None:
    assert bbb("inbox", "approve", str(question.pk)).code == ExitCode.REFUSED


def test_another_version_is_a_conflict(bbb: Bbb, question: InboxItem) -> None:
    done = bbb("inbox", "answer", str(question.pk), "a", "--expected-version", "9", "--json")
    assert done.error == (ExitCode.CONFLICT, "version_conflict")


def test_without_words_or_a_terminal_the_ways_to_answer_are_named(bbb: Bbb, question: InboxItem) -> None:
    told = bbb("inbox", "answer", str(question.pk))
    assert told.code == ExitCode.USAGE
    assert "--option" in told.err
