from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from security.identity import actor_of
from security.models import ApiToken
from security.permissions import RolePermission
from security.roles import Role
from security.tests.factories import make_token, make_user

pytestmark = pytest.mark.django_db


class Ordinary(APIView):
    pass


class Sensitive(APIView):
    write_role = Role.ADMIN


def request_of(role: Role | None, *, method: str = "GET", token: ApiToken | None = None) -> Request:
    request = Request(APIRequestFactory().generic(method, "/"))
    request.user = token.user if token else make_user(role)
    request.auth = token
    return request


def is_allowed(view: APIView, request: Request) -> bool:
    return RolePermission().has_permission(request, view)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_viewer_reads(method: str) -> None:
    assert is_allowed(Sensitive(), request_of(Role.VIEWER, method=method))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_viewer_does_not_write(method: str) -> None:
    assert not is_allowed(Ordinary(), request_of(Role.VIEWER, method=method))


def test_an_operator_writes() -> None:
    assert is_allowed(Ordinary(), request_of(Role.OPERATOR, method="POST"))


def test_a_view_may_ask_for_an_admin() -> None:
    assert not is_allowed(Sensitive(), request_of(Role.OPERATOR, method="POST"))
    assert is_allowed(Sensitive(), request_of(Role.ADMIN, method="POST"))


def test_a_user_without_a_role_does_not_even_read() -> None:
    assert not is_allowed(Ordinary(), request_of(None))


def test_a_stranger_does_not_even_read() -> None:
    request = request_of(None)
    request.user = AnonymousUser()
    assert not is_allowed(Ordinary(), request)


@pytest.mark.parametrize(
    ("role", "scope", "is_ok"),
    [
        (Role.ADMIN, "read", False),
        (Role.ADMIN, "write", True),
        (Role.OPERATOR, "admin", True),
        (Role.VIEWER, "admin", False),
    ],
)
def test_a_token_allows_the_lesser_of_scope_and_role(role: Role, scope: str, is_ok: bool) -> None:
    token, _ = make_token(make_user(role), scope=scope)
    assert is_allowed(Ordinary(), request_of(None, method="POST", token=token)) is is_ok


def test_a_refusal_says_which_role_is_needed() -> None:
    permission = RolePermission()
    permission.has_permission(request_of(Role.VIEWER, method="POST"), Sensitive())
    assert permission.message == "This needs the role admin; yours is viewer."


def test_the_actor_of_a_session_is_the_user() -> None:
    request = request_of(None)
    request.user = make_user(username="ada")
    assert actor_of(request) == "user:ada"


def test_the_actor_of_a_token_names_both() -> None:
    token, _ = make_token(make_user(username="ada"), name="ci")
    assert actor_of(request_of(None, token=token)) == "user:ada/token:ci"


def test_an_actor_fits_the_log() -> None:
    token, _ = make_token(make_user(username="a" * 150), name="t" * 100)
    assert len(actor_of(request_of(None, token=token))) == 200
