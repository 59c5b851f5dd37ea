"""What an Idempotency-Key promises, rule by rule; tests/test_idempotency_killed.py does the same with crashes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import DataError, IntegrityError, OperationalError, connection
from django.utils import timezone
from rest_framework.exceptions import Throttled
from rest_framework.test import APIClient

from api.answers import KEPT_FOR
from events.models import Event
from events.states import EventType
from orchestration.models import Project, Task
from orchestration.tests.clients import ROOT
from orchestration.tests.factories import make_project, make_task
from security.models import IdempotentCommand
from security.roles import Role
from security.services import limit_access
from security.tests.factories import ACTOR, make_token, make_user
from tests.endpoints import API, endpoints

pytestmark = pytest.mark.django_db


class Person:
    """Somebody who sends requests with keys."""

    def __init__(self, user: User) -> None:
        self.user = user
        # What fails is answered, as in use.
        self.client = APIClient(raise_request_exception=False)
        self.client.force_authenticate(user)

    def post(self, path: str, body: Any = None, *, key: str = "key", **headers: str) -> Any:
        given = {} if body is None else body
        return self.client.post(ROOT + path, given, format="json", headers={"Idempotency-Key": key} | headers)

    def send(self, path: str, text: str, *, key: str = "key", media_type: str = "application/json") -> Any:
        """Send a body as it stands."""
        return self.client.post(ROOT + path, text, content_type=media_type, headers={"Idempotency-Key": key})


@pytest.fixture
def person() -> Person:
    return Person(make_user(Role.ADMIN))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo")


@pytest.fixture
def task(project: Project) -> Task:
    return make_task(project)


def audits() -> int:
    return Event.objects.filter(type=EventType.TASK_INTERVENTION_AUDIT).count()


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def is_replay(answer: Any) -> bool:
    return bool(answer.headers.get("Idempotency-Replayed") == "true")


def test_a_request_sent_again_gets_the_same_answer_byte_for_byte(person: Person, project: Project) -> None:
    first, second = (person.post("/tasks", {"project": project.pk, "title": "Paginate"}) for _ in range(2))
    assert (first.status_code, is_replay(first), is_replay(second)) == (201, False, True)
    assert second.content == first.content
    assert second.status_code == first.status_code
    for header in ("ETag", "Content-Type"):
        assert second.headers[header] == first.headers[header]


def test_a_request_sent_again_has_no_second_effect(person: Person, project: Project) -> None:
    for _ in range(3):
        person.post("/tasks", {"project": project.pk, "title": "Paginate"})
    assert Task.objects.count() == 1
    assert Event.objects.filter(type=EventType.TASK_CREATED).count() == 1


def test_the_answer_is_that_of_the_moment_it_was_carried_out(person: Person, task: Task) -> None:
    first = person.post(f"/tasks/{task.pk}/pause", key="pause")
    person.post(f"/tasks/{task.pk}/resume", key="resume")
    assert person.post(f"/tasks/{task.pk}/pause", key="pause").json() == first.json()
    task.refresh_from_db()
    assert not task.is_held


def test_an_answer_with_few_fields_keeps_its_etag(person: Person, task: Task) -> None:
    first, second = (person.post(f"/tasks/{task.pk}/pause?fields=title") for _ in range(2))
    assert (second.content, second.headers["ETag"]) == (first.content, first.headers["ETag"])


def test_a_refused_command_is_refused_again_and_audited_once(person: Person, task: Task) -> None:
    first, second = (person.post(f"/tasks/{task.pk}/retry") for _ in range(2))
    assert code_of(first) == code_of(second) == (409, "invalid_transition")
    assert (is_replay(second), second.content) == (True, first.content)
    assert second.headers["Content-Type"] == first.headers["Content-Type"] == "application/problem+json"
    assert audits() == 1


def test_a_failed_precondition_is_kept_and_audited_once(person: Person, task: Task) -> None:
    first, second = (person.post(f"/tasks/{task.pk}/pause", **{"If-Match": '"7"'}) for _ in range(2))
    assert (first.status_code, is_replay(second), audits()) == (412, True, 1)


def test_another_version_is_another_request(person: Person, task: Task) -> None:
    person.post(f"/tasks/{task.pk}/pause", **{"If-Match": '"7"'})
    assert person.post(f"/tasks/{task.pk}/pause", **{"If-Match": '"1"'}).status_code == 422


@pytest.mark.parametrize(("path", "status"), [("/tasks/0/pause", 404), ("/tasks", 400)])
def test_what_is_refused_for_good_is_kept(person: Person, path: str, status: int) -> None:
    first, second = (person.post(path) for _ in range(2))
    assert (first.status_code, is_replay(second), second.content) == (status, True, first.content)


def test_another_body_is_refused(person: Person, project: Project) -> None:
    person.post("/tasks", {"project": project.pk, "title": "One"})
    answer = person.post("/tasks", {"project": project.pk, "title": "Two"})
    assert code_of(answer) == (422, "idempotency_key_reused")
    assert [task.title for task in Task.objects.all()] == ["One"]


def test_another_path_is_refused(person: Person, task: Task) -> None:
    person.post(f"/tasks/{task.pk}/pause")
    assert code_of(person.post(f"/tasks/{task.pk}/cancel")) == (422, "idempotency_key_reused")


def test_order_of_names_and_white_space_make_no_other_body(person: Person, project: Project) -> None:
    person.send("/tasks", f'{{"project": {project.pk}, "title": "Paginate", "limits": {{"turns": 1, "usd": 2}}}}')
    again = person.send("/tasks", f'{{"limits":{{"usd":2,"turns":1}},\n"title":"Paginate","project":{project.pk}}}')
    assert is_replay(again)


def test_no_body_is_an_empty_one(person: Person, task: Task) -> None:
    person.send(f"/tasks/{task.pk}/pause", "")
    assert is_replay(person.send(f"/tasks/{task.pk}/pause", "{}"))


def test_the_same_key_of_somebody_else_is_another_command(person: Person, project: Project) -> None:
    for sender in (person, Person(make_user(Role.OPERATOR))):
        answer = sender.post("/tasks", {"project": project.pk, "title": "Paginate"})
        assert (answer.status_code, is_replay(answer)) == (201, False)


def test_all_tokens_of_a_user_share_its_keys(project: Project) -> None:
    user = make_user(Role.ADMIN)
    answers = []
    for name in ("one", "two"):
        _, text = make_token(user, name=name)
        headers = {"Authorization": f"Bearer {text}", "Idempotency-Key": "key"}
        body = {"project": project.pk, "title": "Paginate"}
        answers.append(APIClient().post(f"{ROOT}/tasks", body, format="json", headers=headers))
    assert is_replay(answers[1])


def test_an_answer_about_a_project_is_not_shown_to_who_may_not_see_it(person: Person, project: Project) -> None:
    person.post("/tasks", {"project": project.pk, "title": "Paginate"})
    limit_access(person.user, project_ids=[], actor=ACTOR)
    person.client.force_authenticate(User.objects.get(pk=person.user.pk))
    answer = person.post("/tasks", {"project": project.pk, "title": "Paginate"})
    assert code_of(answer) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "a\tb", "k" * 256, "键"])
def test_a_key_that_is_none_is_refused(person: Person, project: Project, key: str) -> None:
    answer = person.post("/tasks", {"project": project.pk, "title": "Paginate"}, key=key)
    assert code_of(answer) == (400, "invalid_idempotency_key")
    assert not Task.objects.exists()


@pytest.mark.parametrize("key", ["k" * 255, "!", "~", '"8e03978e-40d5-43dd-bc93-6894a57f9324"'])
def test_a_key_of_printable_characters_is_accepted(person: Person, project: Project, key: str) -> None:
    body = {"project": project.pk, "title": "Paginate"}
    assert person.post("/tasks", body, key=key).status_code == 201
    assert is_replay(person.post("/tasks", body, key=key))


def test_a_change_with_a_key_is_made_each_time(person: Person, task: Task) -> None:
    path, key = f"{ROOT}/tasks/{task.pk}", {"Idempotency-Key": "key"}
    for title in ("New", "Newer", "New"):
        assert person.client.patch(path, {"title": title}, format="json", headers=key).json()["title"] == title
    assert not IdempotentCommand.objects.exists()


def test_a_method_that_is_not_allowed_uses_no_key_up(person: Person) -> None:
    assert person.post("/runs").status_code == 405
    assert not IdempotentCommand.objects.exists()


@pytest.mark.parametrize(("text", "media_type"), [("{", "application/json"), ("a=1", "text/plain")])
def test_a_body_that_cannot_be_read_uses_no_key_up(
    person: Person, project: Project, text: str, media_type: str
) -> None:
    assert person.send("/tasks", text, media_type=media_type).status_code in (400, 415)
    assert person.post("/tasks", {"project": project.pk, "title": "Paginate"}).status_code == 201


@pytest.mark.parametrize("depth", [50, 100, 300, 600, 800, 900, 950, 1000, 5000])
def test_a_body_that_nests_deep_is_refused_and_no_fault_of_ours(person: Person, depth: int) -> None:
    assert person.send("/tasks", f'{{"title": {"[" * depth}{"]" * depth}}}').status_code == 400


def test_a_stranger_uses_no_key_up() -> None:
    assert APIClient().post(f"{ROOT}/tasks", headers={"Idempotency-Key": "key"}).status_code == 401
    assert not IdempotentCommand.objects.exists()


@pytest.mark.parametrize(("path", "body"), [("/projects", {}), ("/tokens", {"name": "ci", "scopes": ["admin"]})])
def test_what_somebody_may_not_do_uses_no_key_up(path: str, body: dict[str, Any]) -> None:
    # The first is refused by the role, before the command begins; the second by the command.
    assert Person(make_user(Role.OPERATOR)).post(path, body).status_code == 403
    assert not IdempotentCommand.objects.exists()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Throttled(), 429),
        (ZeroDivisionError(), 500),
        (OperationalError(), 503),
        (IntegrityError(), 409),
        (DataError(), 400),
    ],
)
def test_what_says_nothing_about_the_command_uses_no_key_up(
    person: Person, project: Project, error: Exception, status: int
) -> None:
    body = {"project": project.pk, "title": "Paginate"}
    with fault('INSERT INTO "orchestration_task"', error):
        assert person.post("/tasks", body).status_code == status
    again = person.post("/tasks", body)
    assert (again.status_code, is_replay(again), Task.objects.count()) == (201, False, 1)


def test_an_error_of_the_database_outside_a_savepoint_is_answered(person: Person, task: Task) -> None:
    broken = 'FROM "orchestration_task"'
    with fault(broken, DataError()):
        assert code_of(person.post(f"/tasks/{task.pk}/pause")) == (400, "invalid")
    assert person.post(f"/tasks/{task.pk}/pause").status_code == 200


@pytest.mark.parametrize("number", [2**31, 2**63, 2**64, 10**30])
def test_an_id_beyond_all_ids_is_nobodys(person: Person, project: Project, number: int) -> None:
    assert person.post(f"/tasks/{number}/pause", key="path").status_code == 404
    body = {"project": project.pk, "title": "Paginate", "assignee": number, "depends_on": [number]}
    assert person.post("/tasks", body, key="body").status_code == 400
    assert person.post("/tasks/broadcast/pause", {"ids": [number]}, key="ids").status_code in (200, 400)


def test_after_a_day_a_key_is_forgotten(person: Person, project: Project) -> None:
    body = {"project": project.pk, "title": "Paginate"}
    began = timezone.now()
    with time_machine.travel(began):
        person.post("/tasks", body)
    with time_machine.travel(began + KEPT_FOR - timedelta(seconds=30)):
        assert is_replay(person.post("/tasks", body))
    with time_machine.travel(began + KEPT_FOR + timedelta(seconds=30)):
        again = person.post("/tasks", body | {"title": "Another"})
    assert (again.status_code, Task.objects.count(), IdempotentCommand.objects.count()) == (201, 2, 1)


def test_forgotten_answers_go_some_at_a_time_the_oldest_first(person: Person, task: Task) -> None:
    now = timezone.now()
    IdempotentCommand.objects.bulk_create(
        IdempotentCommand(scope="user:0", key=str(hours), status_code=200, expires_at=now + timedelta(hours=hours))
        for hours in range(-120, 5)
    )
    person.post(f"/tasks/{task.pk}/pause")
    oldest = IdempotentCommand.objects.order_by("expires_at")[0]
    assert oldest.key == "-70"
    for key in ("2", "3"):
        person.post(f"/tasks/{task.pk}/pause", key=key)
    assert not IdempotentCommand.objects.filter(expires_at__lte=now).exists()
    assert IdempotentCommand.objects.filter(scope="user:0").count() == 4


ADDRESSES = sorted(path for path in endpoints() if path.startswith(API))


@pytest.mark.parametrize("path", ADDRESSES)
def test_every_post_takes_a_key(person: Person, path: str) -> None:
    answer = post_without_a_key(person, path)
    assert code_of(answer) in {(400, "invalid_idempotency_key"), (405, "method_not_allowed")}


def test_most_addresses_take_a_post(person: Person) -> None:
    assert sum(post_without_a_key(person, path).status_code == 400 for path in ADDRESSES) > 15


def post_without_a_key(person: Person, path: str) -> Any:
    return person.post(endpoints()[path].url(pk=1, command="pause").removeprefix(ROOT), key="")


@contextmanager
def fault(statement: str, error: Exception) -> Iterator[None]:
    """Let the database fail at a statement; where it can, really, with what that does to the transaction."""

    def execute(perform: Callable[..., Any], sql: str, *args: Any) -> Any:
        if statement not in sql:
            return perform(sql, *args)
        if isinstance(error, DataError) and connection.vendor == "postgresql":
            return perform("SELECT 1 / 0", None, *args[1:])
        raise error

    with connection.execute_wrapper(execute):
        yield
