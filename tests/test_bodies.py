"""What every body is held to: it is an object, and nothing in it is ignored."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from events.models import Event
from orchestration.models import Task
from orchestration.tests.clients import ROOT
from security.models import ApiToken
from security.roles import Role
from security.tests.factories import make_token, make_user
from tests.endpoints import API, Endpoint, endpoints
from tests.worlds import World, make_world

# A body is looked at before the database is.
pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

PATHS = sorted(path for path in endpoints() if path.startswith(API))
# Rows that can be created and changed.
NOUNS = ["projects", "agents", "tasks", "documents", "comments"]


@pytest.fixture(scope="module")
def made(shared_rows: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[User, World]:
    """Make one of everything, and an admin with a token."""
    user = make_user(Role.ADMIN)
    make_token(user)
    return user, make_world(tmp_path_factory.mktemp("world"), "bees")


@pytest.fixture
def user(made: tuple[User, World]) -> User:
    return copy.deepcopy(made[0])


@pytest.fixture
def client(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


@pytest.fixture
def world(made: tuple[User, World]) -> World:
    return copy.deepcopy(made[1])


def address(endpoint: Endpoint, world: World) -> str:
    ids = world.ids | {"tokens": ApiToken.objects.get().pk}
    return endpoint.url(pk=ids.get(endpoint.noun, 0), command="pause")


def send(client: APIClient, method: str, url: str, body: Any) -> Any:
    return getattr(client, method)(url, body, format="json")


def refusals(answer: Any) -> list[tuple[str, str | None]]:
    """Return code and pointer of each error."""
    assert answer.status_code == 400, answer.content
    return [(error["code"], error.get("pointer")) for error in answer.json()["errors"]]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["post", "patch"])
def test_a_body_is_an_object_in_which_everything_is_known(
    client: APIClient, world: World, path: str, method: str
) -> None:
    url = address(endpoints()[path], world)
    before = Event.objects.count()
    if send(client, method, url, {}).status_code == 405:
        return
    bodies: list[Any] = [[], [{}], "text", 7, True]
    for body in bodies:
        assert refusals(send(client, method, url, body)) == [("invalid", None)], body
    assert refusals(send(client, method, url, {"colour": 1, "a/b~c": 2})) == [
        ("unknown_field", "/colour"),
        ("unknown_field", "/a~1b~0c"),
    ]
    assert Event.objects.count() - before <= 2


def test_most_bodies_were_looked_at(client: APIClient, world: World) -> None:
    urls = [address(endpoint, world) for path, endpoint in endpoints().items() if path in PATHS]
    answers = [send(client, method, url, []).status_code for url in urls for method in ("post", "patch")]
    assert answers.count(400) >= 24
    assert set(answers) == {400, 405}


@pytest.mark.parametrize("noun", NOUNS)
def test_what_cannot_be_set_is_refused_and_not_ignored(client: APIClient, world: World, noun: str) -> None:
    url = f"{ROOT}/{noun}/{world.ids[noun]}"
    row = client.get(url).json()
    accepted = {name for name, value in row.items() if send(client, "patch", url, {name: value}).status_code == 200}
    assert accepted
    assert not accepted & {"id", "key", "version", "created_at", "updated_at", "author", "active_run", "content_hash"}
    assert ("status" in accepted) == (noun in ("agents", "comments"))
    for name in row.keys() - accepted:
        assert refusals(send(client, "patch", url, {name: row[name]})) == [("unknown_field", f"/{name}")]
    assert client.get(url).json() == row


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"limits": {"beer": 1}}, ("unknown_field", "/limits/beer")),
        ({"limits": {"usd": "much"}}, ("invalid", "/limits/usd")),
        ({"limits": {"usd": -1}}, ("invalid", "/limits")),
        ({"limits": 7}, ("invalid", "/limits")),
        ({"limits": None}, ("null", "/limits")),
        ({"depends_on": [0]}, ("does_not_exist", "/depends_on/0")),
        ({"depends_on": ["x"]}, ("invalid", "/depends_on/0")),
        ({"depends_on": [None]}, ("null", "/depends_on/0")),
        ({"checks": ["make", 7]}, ("invalid", "/checks/1")),
        ({"checks": ["make", ""]}, ("blank", "/checks/1")),
        ({"assignee": 0}, ("does_not_exist", "/assignee")),
        ({"title": None}, ("null", "/title")),
        ({"title": " "}, ("blank", "/title")),
    ],
)
@pytest.mark.parametrize("way", ["create", "change", "bulk"])
def test_a_pointer_leads_to_the_mistake(
    client: APIClient, world: World, way: str, body: dict[str, Any], refusal: tuple[str, str]
) -> None:
    code, pointer = refusal
    if way == "create":
        answer = send(client, "post", f"{ROOT}/tasks", {"project": world.project.pk, "title": "New"} | body)
    elif way == "change":
        answer = send(client, "patch", f"{ROOT}/tasks/{world.task.pk}", body)
    else:
        tasks = [{"title": "One"}, {"title": "Two"} | body]
        answer = send(client, "post", f"{ROOT}/tasks/bulk", {"project": world.project.pk, "tasks": tasks})
        pointer = f"/tasks/1{pointer}"
        if body.keys() & {"depends_on", "assignee"}:
            # These may also be the `ref` of another task, and are refused in words of their own.
            [(code, _)] = refusals(answer)
    assert refusals(answer) == [(code, pointer)]
    assert Task.objects.count() == 3


def test_what_may_be_null_can_be_taken_away(client: APIClient, world: World) -> None:
    url = f"{ROOT}/tasks/{world.task.pk}"
    names = ["assignee", "parent", "due_at", "not_before"]
    row = send(client, "patch", url, dict.fromkeys(names)).json()
    assert [row[name] for name in names] == [None] * len(names)
