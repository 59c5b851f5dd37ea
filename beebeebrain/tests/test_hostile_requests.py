"""What nobody sends in good faith is refused in the one shape, by every operation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from beebeebrain import codes
from beebeebrain.tests.description import examples, operations

pytestmark = pytest.mark.django_db

BODIES = {name: found for name, found in operations().items() if "requestBody" in found}
PATHS = sorted({found["path"] for found in operations().values()})
ALL_METHODS = {"get", "post", "put", "patch", "delete", "options", "trace", "query", "brew"}
LISTED = codes.listed()
NO_OBJECTS: list[str | bytes] = [
    "{",
    "null",
    "[]",
    '"text"',
    "7",
    '{"a": NaN}',
    '{"a": 1e999}',
    "[" * 100_000,
    '{"a": ' * 50_000,
    rb'{"name": "\ud800"}',
    b'{"name": "\xff"}',
    b"\x00",
]


@pytest.fixture
def client(admin: User) -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.force_login(admin)
    return client


def address(path: str) -> str:
    return path.replace("{id}", "1").replace("{command}", "pause")


def example(name: str) -> dict[str, Any]:
    found: dict[str, Any] = examples(BODIES[name]["requestBody"]["content"]["application/json"])[0]
    return found


def refused(answer: Any, *statuses: int) -> list[str]:
    """Return the codes of a refusal, which has the one shape."""
    problem = answer.json()
    assert answer["Content-Type"] == "application/problem+json", answer.content
    assert (answer.status_code, problem["status"]) == (problem["status"], problem["status"])
    assert answer.status_code in statuses, answer.content
    assert problem["trace_id"] == answer["X-Trace-ID"]
    told = [error["code"] for error in problem["errors"]]
    assert [code for code in (*told, problem["code"]) if answer.status_code not in LISTED.get(code, ())] == []
    return told


def send(client: APIClient, name: str, body: str | bytes, media_type: str = "application/json") -> Any:
    operation = BODIES[name]
    text: Any = body
    return client.generic(operation["method"].upper(), address(operation["path"]), text, content_type=media_type)


def ask(client: APIClient, path: str, address_: str, **headers: Any) -> Any:
    """Send a request that an address like this one understands."""
    method = next(found["method"] for found in operations().values() if found["path"] == path)
    return client.generic(method.upper(), address_, "{}", content_type="application/json", **headers)


def texts(value: Any) -> Any:
    """Return a JSON value with a NUL in each text."""
    if isinstance(value, dict):
        return {name: texts(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [texts(inner) for inner in value]
    return f"{value}\0" if isinstance(value, str) else value


@pytest.mark.one_database
@pytest.mark.parametrize("path", PATHS)
def test_a_method_an_address_does_not_know_is_refused_with_those_it_knows(client: APIClient, path: str) -> None:
    known = {found["method"] for found in operations().values() if found["path"] == path}
    for method in sorted(ALL_METHODS - known):
        answer = client.generic(method.upper(), address(path))
        assert refused(answer, 405) == ["method_not_allowed"]
        assert {name.strip().lower() for name in answer["Allow"].split(",")} - {"head"} == known


@pytest.mark.one_database
@pytest.mark.parametrize("name", [name for name, found in operations().items() if found["method"] == "get"])
def test_head_answers_as_get_does(client: APIClient, name: str) -> None:
    path = address(operations()[name]["path"])
    asked, headed = client.get(path), client.head(path)
    assert (headed.status_code, headed.content) == (asked.status_code, b"")
    assert headed["Content-Type"] == asked["Content-Type"]


@pytest.mark.parametrize("name", BODIES)
def test_a_text_that_no_database_keeps_is_refused(client: APIClient, name: str) -> None:
    given = texts(example(name))
    if given != example(name):
        # What an address has not, it does not look for; what is not one of its choices, it does not look into.
        assert refused(send(client, name, json.dumps(given)), 400, 404)


@pytest.mark.one_database
@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_no_object_is_refused(client: APIClient, name: str) -> None:
    for body in NO_OBJECTS:
        refused(send(client, name, body), 400, 404)


@pytest.mark.parametrize("name", BODIES)
def test_numbers_beyond_all_columns_are_refused(client: APIClient, name: str) -> None:
    numbers = {field: 10**400 for field, value in example(name).items() if isinstance(value, int)}
    if numbers:
        refused(send(client, name, json.dumps(example(name) | numbers)), 400, 404)


@pytest.mark.one_database
@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_not_sent_as_json_is_refused(client: APIClient, name: str) -> None:
    for media_type in ("text/plain", "application/xml", "multipart/form-data; boundary=x", "nonsense"):
        assert refused(send(client, name, "{}", media_type), 415, 404)


@pytest.mark.parametrize("path", PATHS)
def test_a_query_that_means_nothing_is_refused(client: APIClient, path: str) -> None:
    for query in ("?q=%00", "?%00=1", "?fields=%00", "?a=%ff", "?" + "a=1&" * 2000):
        assert refused(ask(client, path, address(path) + query), 400)


@pytest.mark.parametrize("path", [path for path in PATHS if "{id}" in path])
def test_an_id_that_is_nobodys_is_not_found(client: APIClient, path: str) -> None:
    for id_ in ("0", "-1", "99999999999999999999999", "1e3", "x", "%00", "%ff", "1%2F2", "%203", "٣"):
        assert refused(ask(client, path, path.replace("{id}", id_)), 404) == ["not_found"]


@pytest.mark.one_database
def test_an_answer_in_another_language_than_json_is_refused(client: APIClient) -> None:
    for path in PATHS:
        assert refused(ask(client, path, address(path), HTTP_ACCEPT="text/csv"), 406) == ["not_acceptable"]
