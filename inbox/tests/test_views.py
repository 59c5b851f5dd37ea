from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inbox import services
from inbox.models import InboxItem
from inbox.states import ItemStatus, ItemType
from orchestration.models import Task
from orchestration.states import TaskStatus
from orchestration.tests.clients import Client, error
from orchestration.tests.factories import make_project, make_task, set_status
from security.roles import Role

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    return Client(Role.OPERATOR)


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return make_task(make_project(tmp_path / "repo"))


def ask(task: Task, item_type: ItemType = ItemType.AWAIT_USER_INPUT, key: str = "q", **fields: Any) -> InboxItem:
    return services.ask(item_type, task=task, title="Which?", dedupe_key=key, actor="agent:1", **fields)


def review(task: Task) -> InboxItem:
    set_status(task, TaskStatus.REVIEW)
    return ask(task, ItemType.TASK_COMPLETED, "review")


def test_an_item_is_shown_with_its_options(client: Client, task: Task) -> None:
    item = ask(task, options=["a", "b"], run_id=7)
    found = client.get(f"/inbox/{item.pk}").json()
    assert (found["item_type"], found["status"], found["options"]) == ("await_user_input", "open", ["a", "b"])
    assert (found["project"], found["task"], found["run"]) == (task.project_id, task.pk, 7)


def test_a_question_is_closed_with_its_answer(client: Client, task: Task) -> None:
    item = ask(task)
    response = client.post(f"/inbox/{item.pk}/close", user_input=" a\n", expected_version=1)
    found = response.json()
    assert (response.status_code, found["status"], found["resolution"]) == (200, "closed", "answered")
    assert (found["user_input"], found["resolver"], found["is_read"]) == (" a\n", "user:operator", True)


def test_a_question_without_an_answer_stays_open(client: Client, task: Task) -> None:
    item = ask(task)
    assert error(client.post(f"/inbox/{item.pk}/close"))[:2] == (400, "user_input_required")
    assert InboxItem.objects.get().status == ItemStatus.OPEN


def test_a_review_is_closed_by_an_approval_without_a_word(client: Client, task: Task) -> None:
    assert client.post(f"/inbox/{review(task).pk}/close").json()["resolution"] == "approved"
    assert Task.objects.get().approved_at is not None


def test_a_review_sends_work_back(client: Client, task: Task) -> None:
    response = client.post(f"/inbox/{review(task).pk}/close", action="request_changes", user_input="Shorter")
    assert (response.status_code, Task.objects.get().status) == (200, TaskStatus.TODO)


def test_closing_twice_is_a_conflict(client: Client, task: Task) -> None:
    item = ask(task)
    client.post(f"/inbox/{item.pk}/close", user_input="a")
    assert error(client.post(f"/inbox/{item.pk}/close", user_input="b"))[:2] == (409, "item_closed")
    assert InboxItem.objects.get().user_input == "a"


def test_closing_another_version_is_a_conflict(client: Client, task: Task) -> None:
    item = ask(task)
    response = client.post(f"/inbox/{item.pk}/close", user_input="a", expected_version=2)
    assert error(response)[:2] == (409, "version_conflict")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"action": "approve", "user_input": "a"}, "action_not_offered"),
        ({"action": "explode"}, "invalid_choice"),
        ({"answer": "a"}, "unknown_field"),
        ({"user_input": None}, "null"),
        ({"user_input": "a", "expected_version": 0}, "min_value"),
        ({"user_input": "a", "expected_version": 10**30}, "max_value"),
    ],
)
def test_a_close_that_makes_no_sense_is_refused(client: Client, task: Task, given: dict[str, Any], code: str) -> None:
    item = ask(task)
    assert error(client.post(f"/inbox/{item.pk}/close", **given))[:2] == (400, code)
    assert InboxItem.objects.get().status == ItemStatus.OPEN


def test_an_item_is_marked_as_read(client: Client, task: Task) -> None:
    response = client.post(f"/inbox/{ask(task).pk}/read")
    assert (response.status_code, response.json()["is_read"], response.json()["status"]) == (200, True, "open")


def test_marking_as_read_takes_no_fields(client: Client, task: Task) -> None:
    assert error(client.post(f"/inbox/{ask(task).pk}/read", is_read=False))[:2] == (400, "unknown_field")


def test_a_viewer_answers_nothing(task: Task) -> None:
    item = ask(task)
    assert Client(Role.VIEWER).post(f"/inbox/{item.pk}/close", user_input="a").status_code == 403
    assert Client(Role.VIEWER).get(f"/inbox/{item.pk}").status_code == 200


def test_items_are_listed_newest_first_and_filtered(client: Client, task: Task) -> None:
    first, second = ask(task, run_id=7), ask(task, ItemType.ALERT, "alert", run_id=8)
    client.post(f"/inbox/{second.pk}/close")
    assert client.ids("/inbox") == [second.pk, first.pk]
    assert client.ids("/inbox", status="open") == [first.pk]
    assert client.ids("/inbox", item_type="alert") == [second.pk]
    assert client.ids("/inbox", item_type=["alert", "await_user_input"]) == [second.pk, first.pk]
    assert client.ids("/inbox", project=task.project_id, task=task.pk, run=7) == [first.pk]
    assert client.ids("/inbox", is_read="false") == [first.pk]


@pytest.mark.parametrize(
    ("name", "value"),
    [("run", "9" * 5000), ("run", str(2**70)), ("run", "x"), ("status", "x"), ("task", "0"), ("is_read", "x")],
)
def test_a_filter_that_makes_no_sense_is_refused(client: Client, name: str, value: str) -> None:
    response = client.get("/inbox", **{name: value})
    assert (response.status_code, error(response)[2]) == (400, name)


def test_a_list_takes_as_many_queries_for_one_as_for_many(client: Client, task: Task) -> None:
    ask(task)
    before = client.count_queries("/inbox")
    for number in range(3):
        ask(make_task(task.project), key=f"q{number}")
    assert client.count_queries("/inbox") == before
