from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from security.authentication import ApiTokenAuthentication
from security.models import ApiToken
from security.roles import Role
from security.services import revoke_token
from security.tests.factories import ACTOR, make_token, make_user

pytestmark = pytest.mark.django_db


def request_with(authorization: str | None) -> Request:
    headers = {} if authorization is None else {"HTTP_AUTHORIZATION": authorization}
    return Request(APIRequestFactory().get("/", **headers))  # type: ignore[arg-type]


def refusal_of(authorization: str) -> str:
    with pytest.raises(AuthenticationFailed) as refused:
        ApiTokenAuthentication().authenticate(request_with(authorization))
    return str(refused.value.get_codes())


def test_a_token_logs_its_user_in() -> None:
    user = make_user(Role.VIEWER)
    token, text = make_token(user)
    assert ApiTokenAuthentication().authenticate(request_with(f"Bearer {text}")) == (user, token)


@pytest.mark.parametrize("authorization", [None, "", "Basic dXNlcjpwYXNz"])
def test_a_request_without_a_token_is_left_to_others(authorization: str | None) -> None:
    assert ApiTokenAuthentication().authenticate(request_with(authorization)) is None


@pytest.mark.parametrize("text", ["", "bbb_", "bbb_" + "x" * 43, "a b c", "\xff\x00"])
def test_an_unknown_token_is_refused(text: str) -> None:
    make_token(make_user(Role.ADMIN))
    assert refusal_of(f"Bearer {text}") == "token_invalid"


def test_an_expired_token_is_refused() -> None:
    _, text = make_token(make_user(Role.ADMIN), expires_at=timezone.now() - timedelta(seconds=1))
    assert refusal_of(f"Bearer {text}") == "token_expired"


def test_a_revoked_token_is_refused() -> None:
    token, text = make_token(make_user(Role.ADMIN))
    revoke_token(token, actor=ACTOR)
    assert refusal_of(f"Bearer {text}") == "token_invalid"


def test_a_token_of_an_inactive_user_is_refused() -> None:
    _, text = make_token(make_user(Role.ADMIN, is_active=False))
    assert refusal_of(f"Bearer {text}") == "token_invalid"


def test_the_hash_of_a_token_is_no_token() -> None:
    token, _ = make_token(make_user(Role.ADMIN))
    assert refusal_of(f"Bearer {token.digest}") == "token_invalid"


def test_using_a_token_is_noted() -> None:
    token, text = make_token(make_user(Role.VIEWER))
    ApiTokenAuthentication().authenticate(request_with(f"Bearer {text}"))
    token.refresh_from_db()
    assert token.last_used_at is not None


@pytest.mark.parametrize(("age_s", "is_noted"), [(59, False), (61, True)])
def test_use_is_noted_once_a_minute(age_s: int, is_noted: bool) -> None:
    token, text = make_token(make_user(Role.VIEWER))
    before = timezone.now() - timedelta(seconds=age_s)
    ApiToken.objects.update(last_used_at=before)
    ApiTokenAuthentication().authenticate(request_with(f"Bearer {text}"))
    token.refresh_from_db()
    assert (token.last_used_at != before) is is_noted
