"""Whoever refuses a request to the API (a view, Django, the parser, the database): the answer has one shape."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import BadRequest, DisallowedHost, RequestDataTooBig, TooManyFieldsSent
from django.db import connection
from django.http import HttpResponseBase
from django.test import RequestFactory
from rest_framework.test import APIClient

from beebeebrain import errors
from security.roles import Role
from security.tests.factories import make_user

PROJECTS = "/api/v1/projects"
FORM = "application/x-www-form-urlencoded"
LARGE = "a=" + "x" * 3_000_000

Send = Callable[[APIClient], Any]

REFUSALS: dict[str, tuple[Send, int, str]] = {
    "nowhere": (lambda client: client.get("/api/v1/honey"), 404, "not_found"),
    "nowhere, a post": (lambda client: client.post("/api/v1/honey"), 404, "not_found"),
    "with a slash": (lambda client: client.get(f"{PROJECTS}/"), 404, "not_found"),
    "a path that is not UTF-8": (lambda client: client.get("/api/v1/%ff"), 404, "not_found"),
    "a path with a NUL": (lambda client: client.get(f"{PROJECTS}/%00"), 404, "not_found"),
    "no row": (lambda client: client.get(f"{PROJECTS}/0"), 404, "not_found"),
    "an id that is none": (lambda client: client.get(f"{PROJECTS}/one"), 404, "not_found"),
    "an id beyond all ids": (lambda client: client.get(f"{PROJECTS}/{10**30}"), 404, "not_found"),
    "another host": (lambda client: client.get(PROJECTS, headers={"Host": "evil.example"}), 400, "host_not_allowed"),
    "a host that is none": (lambda client: client.get(PROJECTS, headers={"Host": "a b"}), 400, "host_not_allowed"),
    "no JSON wanted": (lambda client: client.get(PROJECTS, headers={"Accept": "text/html"}), 406, "not_acceptable"),
    "a method there is not": (lambda client: client.put(PROJECTS), 405, "method_not_allowed"),
    "a method nobody knows": (lambda client: client.generic("BREW", PROJECTS), 405, "method_not_allowed"),
    "options": (lambda client: client.options(PROJECTS), 405, "method_not_allowed"),
    "a text": (lambda client: client.post(PROJECTS, "x", content_type="text/plain"), 415, "unsupported_media_type"),
    "a form": (lambda client: client.post(PROJECTS, "a=1", content_type=FORM), 415, "unsupported_media_type"),
    "files": (lambda client: client.post(PROJECTS, {"a": "1"}, format="multipart"), 415, "unsupported_media_type"),
    "no JSON": (lambda client: client.post(PROJECTS, "{", content_type="application/json"), 400, "parse_error"),
    "an unknown parameter": (lambda client: client.get(f"{PROJECTS}?colour=red"), 400, "unknown_parameter"),
    "a query that is not UTF-8": (lambda client: client.get(f"{PROJECTS}?search=%ff"), 400, "invalid"),
    "a NUL in a filter": (lambda client: client.get(f"{PROJECTS}?search=%00"), 400, "null_characters_not_allowed"),
    "a limit that is none": (lambda client: client.get(f"{PROJECTS}?limit=0"), 400, "invalid"),
    "a large body": (lambda client: client.post(PROJECTS, {"name": LARGE}, format="json"), 413, "body_too_large"),
    "several mistakes": (lambda client: client.post(PROJECTS, {}, format="json"), 400, "invalid_request"),
}


@pytest.fixture
def client() -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(make_user(Role.ADMIN))
    return client


def assert_shape(answer: Any, status: int, code: str) -> None:
    told = json.loads(answer.content)
    assert (answer.status_code, told["code"]) == (status, code), told
    assert answer["Content-Type"] == "application/problem+json"
    assert told.keys() - {"data"} == {"type", "title", "status", "code", "detail", "instance", "trace_id", "errors"}
    assert (told["status"], told["type"]) == (status, f"urn:beebeebrain:error:{code}")
    assert told["title"]
    assert told["detail"]
    assert told["instance"].startswith("/api/v1/")
    for error in told["errors"]:
        assert error.keys() - {"pointer", "parameter"} == {"code", "detail"}
    assert told["errors"]


@pytest.mark.django_db
@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_has_the_shape(client: APIClient, name: str) -> None:
    send, status, code = REFUSALS[name]
    assert_shape(send(client), status, code)


@pytest.mark.django_db
def test_a_stranger_is_told_in_the_shape() -> None:
    assert_shape(APIClient().get(PROJECTS), 401, "not_authenticated")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("media_type", "status", "code"),
    [("application/json", 403, "csrf_failed"), (FORM, 415, "unsupported_media_type")],
)
@pytest.mark.parametrize("cookie", ["", "x" * 32])
def test_a_page_that_is_not_ours_is_told_in_the_shape(media_type: str, status: int, code: str, cookie: str) -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(make_user(Role.ADMIN))
    if cookie:
        client.cookies["csrftoken"] = cookie
    answer = client.post(PROJECTS, "{}", content_type=media_type)
    # Without the cookie nobody looks into the body for its fellow.
    assert_shape(answer, *((status, code) if cookie else (403, "csrf_failed")))


@pytest.mark.django_db
def test_a_fault_of_ours_is_told_in_the_shape_and_without_its_reason(client: APIClient) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("the password is bees")

    with connection.execute_wrapper(fail):
        answer = client.get(PROJECTS)
    assert_shape(answer, 500, "error")
    assert b"bees" not in answer.content


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["nowhere", "no row", "a form"])
def test_the_trace_of_a_refusal_is_that_of_its_header(client: APIClient, name: str) -> None:
    answer = REFUSALS[name][0](client)
    assert answer.json()["trace_id"] == answer["X-Trace-ID"]


HANDLERS: dict[str, tuple[Callable[[Any], HttpResponseBase], int, str]] = {
    "malformed": (lambda request: errors.bad_request(request, BadRequest()), 400, "bad_request"),
    "fields": (lambda request: errors.bad_request(request, TooManyFieldsSent()), 400, "bad_request"),
    "host": (lambda request: errors.bad_request(request, DisallowedHost("evil")), 400, "host_not_allowed"),
    "large": (lambda request: errors.bad_request(request, RequestDataTooBig()), 413, "body_too_large"),
    "forbidden": (lambda request: errors.permission_denied(request, Exception()), 403, "permission_denied"),
    "nowhere": (lambda request: errors.not_found(request, Exception()), 404, "not_found"),
    "fault": (errors.server_error, 500, "error"),
}


@pytest.mark.parametrize("name", HANDLERS)
def test_what_django_refuses_has_the_shape(name: str) -> None:
    handle, status, code = HANDLERS[name]
    assert_shape(handle(RequestFactory().get(PROJECTS)), status, code)


@pytest.mark.parametrize("name", HANDLERS)
def test_what_django_refuses_elsewhere_is_a_page(name: str) -> None:
    handle, status, _ = HANDLERS[name]
    answer = handle(RequestFactory().get("/honey"))
    assert answer["Content-Type"].startswith("text/html")
    assert answer.status_code == (400 if status == 413 else status)


ADVICE: dict[str, tuple[Send, str]] = {
    "a method there is not": (lambda client: client.put(PROJECTS), "Allowed: GET, HEAD, POST"),
    "a body of another kind": (
        lambda client: client.post(PROJECTS, "x", content_type="text/plain"),
        "application/json",
    ),
    "a filter's choice": (lambda client: client.get("/api/v1/tasks?status=sleeping"), "todo, running, review, done"),
    "a filter's number": (lambda client: client.get("/api/v1/tasks?priority=high"), "0, 1, 2, 3, 4"),
    "a field's choice": (lambda client: client.post("/api/v1/tasks", {"phase": "nap"}, format="json"), "plan, build"),
    "a field's number": (
        lambda client: client.post("/api/v1/tasks", {"priority": "x"}, format="json"),
        "0, 1, 2, 3, 4",
    ),
    "no object": (lambda client: client.post("/api/v1/tasks", [], format="json"), "JSON object"),
    "nothing": (
        lambda client: client.post("/api/v1/tasks", "null", content_type="application/json"),
        "JSON object",
    ),
    "no limit": (lambda client: client.get("/api/v1/tasks?limit=many"), "more than 200 means 200"),
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", ADVICE)
def test_a_refusal_says_what_would_be_accepted(client: APIClient, name: str) -> None:
    send, advice = ADVICE[name]
    told = send(client).json()
    assert any(advice in error["detail"] for error in told["errors"]), told


@pytest.mark.django_db
def test_a_stranger_is_told_how_to_log_in() -> None:
    assert "Authorization: Bearer" in APIClient().get(PROJECTS).json()["detail"]


@pytest.mark.django_db
def test_a_comment_of_nothing_but_spaces_is_refused(client: APIClient) -> None:
    assert_shape(client.post("/api/v1/comments", {"body": " \n"}, format="json"), 400, "blank")
