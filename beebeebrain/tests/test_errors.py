from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.db import DataError, OperationalError
from django.db.models import ProtectedError
from django.http import Http404
from django.test import Client
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient, APIRequestFactory
from rest_framework.views import APIView

from beebeebrain.errors import NOT_FOUND
from inbox.exceptions import ItemClosed, UserInputRequired
from orchestration.exceptions import (
    Conflict,
    DependencyCycle,
    Invalid,
    InvalidRepository,
    InvalidTransition,
    SlugTaken,
    VersionConflict,
)
from runtime.exceptions import RunNotActive
from security.exceptions import PathNotAllowed
from security.roles import Role
from security.tests.factories import make_token, make_user

EVENTS = "/api/v1/events"


class Raising(APIView):
    """Fails as it is told, as a view fails that called a service."""

    authentication_classes = ()
    permission_classes = ()
    error: Exception = Exception()

    def get(self, request: Request, **path: Any) -> Response:
        raise self.error


def answer_to(error: Exception, **path: Any) -> Response:
    return Raising.as_view(error=error)(APIRequestFactory().get("/"), **path)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Invalid(), 400, "invalid"),
        (DependencyCycle(), 400, "dependency_cycle"),
        (UserInputRequired(), 400, "user_input_required"),
        (InvalidRepository("There is no repository.", code="not_a_repository"), 400, "not_a_repository"),
        (Conflict(), 409, "conflict"),
        (SlugTaken(), 409, "slug_taken"),
        (ItemClosed(), 409, "item_closed"),
        (RunNotActive(), 409, "run_not_active"),
        (PathNotAllowed(), 403, "path_not_allowed"),
        (PermissionDenied(), 403, "permission_denied"),
        (Http404(), 404, "not_found"),
        (ProtectedError("tasks", set()), 409, "in_use"),
        (OverflowError(), 400, "invalid"),
        (DataError(), 400, "invalid"),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogate"), 400, "invalid"),
        (OperationalError(), 503, "unavailable"),
        (ZeroDivisionError(), 500, "error"),
    ],
)
def test_an_error_has_its_status_and_code(error: Exception, status: int, code: str) -> None:
    answer = answer_to(error)
    assert (answer.status_code, answer.data["errors"][0]["code"]) == (status, code)
    assert (answer.data["status"], answer.data["code"]) == (status, code)
    assert answer.data["type"] == f"urn:beebeebrain:error:{code}"


def test_an_error_of_ours_says_what_it_means() -> None:
    assert answer_to(SlugTaken()).data["errors"][0]["detail"] == "Another project has this slug. Choose another one."


@pytest.mark.parametrize(
    ("error", "data"),
    [(InvalidTransition(status="done"), {"status": "done"}), (VersionConflict(version=7), {"version": 7})],
)
def test_a_conflict_says_what_is_present(error: Exception, data: dict[str, Any]) -> None:
    assert answer_to(error).data["data"] == data


def test_an_invalid_value_names_its_field() -> None:
    answer = answer_to(Invalid("Too many.", field="max_parallel_runs"))
    assert answer.data["errors"] == [{"code": "invalid", "detail": "Too many.", "parameter": "max_parallel_runs"}]
    assert "data" not in answer.data


def test_what_a_serializer_refuses_names_each_field() -> None:
    answer = answer_to(ValidationError({"title": ["Missing."], "limits": {"usd": ["Negative."]}}))
    assert [error["parameter"] for error in answer.data["errors"]] == ["title", "limits.usd"]


def test_a_foreign_error_keeps_its_words_to_itself() -> None:
    for error in (OperationalError("host=10.0.0.7"), DataError("host=10.0.0.7"), ZeroDivisionError("host=10.0.0.7")):
        assert "10.0.0.7" not in json.dumps(answer_to(error).data)


def test_secrets_in_an_error_are_masked() -> None:
    error = Invalid("No such model: sk-ant-api03-AAAABBBBCCCCDDDD", given="password=hunter2hunter2")
    assert not re.search("AAAABBBB|hunter2", json.dumps(answer_to(error).data))


def test_a_number_no_id_can_be_is_not_found() -> None:
    assert answer_to(OverflowError(), pk=str(2**70)).status_code == 404


def test_a_database_that_is_away_says_when_to_ask_again() -> None:
    assert answer_to(OperationalError())["Retry-After"] == "1"


@pytest.mark.django_db
class TestOverHttp:
    @pytest.fixture
    def api(self) -> APIClient:
        client = APIClient(raise_request_exception=False)
        client.force_login(make_user(Role.ADMIN))
        return client

    def test_a_path_that_leads_nowhere_has_the_shape(self, client: Client) -> None:
        answer = client.get("/api/v1/honey")
        assert answer.status_code == 404
        assert answer.json() == {
            "type": "urn:beebeebrain:error:not_found",
            "title": "Not Found",
            "status": 404,
            "code": "not_found",
            "detail": NOT_FOUND,
            "instance": "/api/v1/honey",
            "errors": [{"code": "not_found", "detail": NOT_FOUND}],
            "trace_id": answer["X-Trace-ID"],
        }

    def test_elsewhere_a_person_gets_a_page(self, client: Client) -> None:
        assert client.get("/honey")["Content-Type"].startswith("text/html")

    def test_a_wrong_method_has_the_shape(self, api: APIClient) -> None:
        answer = api.delete(EVENTS)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (405, "method_not_allowed")

    def test_the_answer_names_the_trace_of_the_request(self, api: APIClient) -> None:
        answer = api.get(f"{EVENTS}/0", headers={"X-Trace-ID": "my-trace"})
        assert answer.json()["trace_id"] == answer["X-Trace-ID"] == "my-trace"

    @pytest.mark.parametrize(
        "body", ["{", "nonsense", '{"a": NaN}', "[" * 100_000, "1" * 5000, b"\xff\xfe", r'{"name": "\ud800"}']
    )
    def test_a_body_that_is_no_json_is_refused(self, api: APIClient, body: str | bytes) -> None:
        answer = api.post("/api/v1/projects", body, content_type="application/json")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "parse_error")

    def test_a_body_too_large_is_refused(self, api: APIClient) -> None:
        body = json.dumps({"name": "x" * 3_000_000})
        answer = api.post("/api/v1/projects", body, content_type="application/json")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (413, "body_too_large")

    def test_a_stranger_is_asked_for_a_token(self, client: Client) -> None:
        answer = client.get(EVENTS)
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="api"')
        assert answer.json()["errors"][0]["code"] == "not_authenticated"

    def test_a_token_opens_the_api(self, client: Client) -> None:
        _, text = make_token(make_user(Role.VIEWER))
        assert client.get(EVENTS, headers={"Authorization": f"Bearer {text}"}).status_code == 200

    def test_a_refused_token_says_so(self, client: Client) -> None:
        answer = client.get(EVENTS, headers={"Authorization": "Bearer bbb_nonsense"})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (401, "token_invalid")
        assert answer["WWW-Authenticate"]

    def test_a_user_without_a_role_is_refused(self, client: Client) -> None:
        client.force_login(make_user())
        answer = client.get(EVENTS)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (403, "permission_denied")

    def test_a_form_of_another_page_does_not_write(self) -> None:
        client = APIClient(enforce_csrf_checks=True)
        client.force_login(make_user(Role.ADMIN))
        assert client.post("/api/v1/projects", {}, format="json").status_code == 403

    def test_the_root_leads_to_the_admin(self, client: Client) -> None:
        assert client.get("/")["Location"] == "/admin/"

    def test_the_docs_show_the_schema(self, api: APIClient) -> None:
        assert "/api/v1/schema" in api.get("/api/v1/docs").content.decode()
        assert api.get("/api/v1/schema").status_code == 200


def test_the_description_has_no_warnings(tmp_path: Path) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yaml"))
