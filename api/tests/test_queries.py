"""Queries of addresses, over the one list of this package: tokens."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from security.roles import Role
from security.tests.factories import make_token, make_user

pytestmark = pytest.mark.django_db

TOKENS = "/api/v1/tokens"


@pytest.fixture
def client() -> APIClient:
    user = make_user(Role.ADMIN)
    for name in ("b", "a", "b"):
        make_token(user, name=name)
    client = APIClient()
    client.force_authenticate(user)
    return client


def refusal(answer: Any) -> tuple[int, str, str | None]:
    [error] = answer.json()["errors"]
    return answer.status_code, error["code"], error.get("parameter")


def names(client: APIClient, ordering: str) -> list[str]:
    return [row["name"] for row in client.get(TOKENS, {"ordering": ordering}).json()["results"]]


@pytest.mark.parametrize("name", ["colour", "Limit", "limit ", "format", "page", "", "\0", "a/b~c", "é"])
def test_a_parameter_there_is_not_is_refused(client: APIClient, name: str) -> None:
    assert refusal(client.get(TOKENS, {name: "1"})) == (400, "unknown_parameter", name)


def test_the_refusal_says_which_parameters_there_are(client: APIClient) -> None:
    detail = client.get(TOKENS, {"colour": "red"}).json()["detail"]
    assert "colour" in detail
    assert "cursor, expand, fields, limit, ordering" in detail


def test_a_row_takes_no_parameters_of_a_list(client: APIClient) -> None:
    pk = client.get(TOKENS).json()["results"][0]["id"]
    assert refusal(client.get(f"{TOKENS}/{pk}", {"limit": "1"})) == (400, "unknown_parameter", "limit")


def test_of_two_values_none_is_lost_silently(client: APIClient) -> None:
    assert refusal(client.get(f"{TOKENS}?limit=1&limit=2")) == (400, "invalid", "limit")


@pytest.mark.parametrize("parameter", ["ordering", "fields", "limit", "cursor"])
def test_what_is_empty_is_refused(client: APIClient, parameter: str) -> None:
    assert refusal(client.get(f"{TOKENS}?{parameter}=")) == (400, "blank", parameter)


@pytest.mark.parametrize("query", ["ordering=%ff", "%ff=1", "fields=id%c3", "limit=%ed%a0%80"])
def test_a_query_that_is_not_utf_8_is_refused(client: APIClient, query: str) -> None:
    assert refusal(client.get(f"{TOKENS}?{query}")) == (400, "invalid", None)


@pytest.mark.parametrize("parameter", ["ordering", "fields", "limit", "cursor"])
def test_a_nul_is_refused(client: APIClient, parameter: str) -> None:
    assert refusal(client.get(f"{TOKENS}?{parameter}=%00")) == (400, "invalid", parameter)


@pytest.mark.parametrize(
    ("ordering", "expected"), [("name", "abb"), ("-name", "bba"), ("name,-id", "abb"), (" name , id ", "abb")]
)
def test_rows_come_in_the_order_asked_for(client: APIClient, ordering: str, expected: str) -> None:
    assert "".join(names(client, ordering)) == expected


@pytest.mark.parametrize("ordering", ["-", "colour", "digest", "--name", "name,", "name,name", "name,-name", "id,pk"])
def test_an_order_there_is_not_is_refused(client: APIClient, ordering: str) -> None:
    assert refusal(client.get(TOKENS, {"ordering": ordering})) == (400, "invalid", "ordering")


def test_what_cannot_be_expanded_is_refused(client: APIClient) -> None:
    assert refusal(client.get(TOKENS, {"expand": "user"})) == (400, "invalid", "expand")


@pytest.mark.parametrize("field", ["digest", "text", "password"])
def test_what_is_not_shown_cannot_be_asked_for(client: APIClient, field: str) -> None:
    assert refusal(client.get(TOKENS, {"fields": field})) == (400, "invalid", "fields")


def test_what_is_made_is_shown_as_it_is_asked_for(client: APIClient) -> None:
    answer = client.post(f"{TOKENS}?fields=name", {"name": "ci", "scopes": ["read"]}, format="json")
    # The text is shown this once, whatever else is wanted.
    assert answer.json().keys() == {"name", "text"}
