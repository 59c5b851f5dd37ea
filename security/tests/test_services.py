from __future__ import annotations

import re

import pytest

from security import audit
from security.exceptions import UnknownScope
from security.models import AccessLimit, ApiToken
from security.services import create_token, limit_access, revoke_token
from security.tests.factories import ACTOR, make_token, make_user, on_record

pytestmark = pytest.mark.django_db


def test_a_token_holds_256_random_bits() -> None:
    _, text = make_token(make_user())
    assert re.fullmatch(r"bbb_[A-Za-z0-9_-]{43}", text)


def test_two_tokens_differ() -> None:
    user = make_user()
    assert make_token(user)[1] != make_token(user)[1]


def test_the_text_of_a_token_is_not_kept() -> None:
    _, text = make_token(make_user())
    row = ApiToken.objects.values().get()
    assert not any(text in str(value) or text[12:] in str(value) for value in row.values())


@pytest.mark.parametrize("scopes", [[], ["everything"], ["read", "everything"]])
def test_a_token_without_a_known_scope_is_refused(scopes: list[str]) -> None:
    with pytest.raises(UnknownScope):
        create_token(make_user(), name="robot", scopes=scopes, actor=ACTOR)
    assert not ApiToken.objects.exists()


def test_revoking_twice_keeps_the_first_time() -> None:
    token, _ = make_token(make_user())
    revoke_token(token, actor=ACTOR)
    first = ApiToken.objects.get().revoked_at
    revoke_token(token, actor=ACTOR)
    assert first is not None and ApiToken.objects.get().revoked_at == first


def test_without_a_trail_no_token_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_trail", None)
    with pytest.raises(audit.NoTrail):
        make_token(make_user())
    assert not ApiToken.objects.exists()


def test_a_user_is_limited_to_projects_and_freed_again() -> None:
    user = make_user()
    limit_access(user, project_ids=[3, 1, 3], actor=ACTOR)
    assert AccessLimit.objects.get().project_ids == [1, 3]
    limit_access(user, project_ids=[], actor=ACTOR)
    assert AccessLimit.objects.get().project_ids == []
    limit_access(user, project_ids=None, actor=ACTOR)
    assert not AccessLimit.objects.exists()


def test_each_limit_is_on_record() -> None:
    user = make_user(username="ada")
    limit_access(user, project_ids=[2, 1], actor=ACTOR)
    limit_access(user, project_ids=None, actor=ACTOR)
    told = [(event.type, event.payload["resource"], event.payload["reason"]) for event in on_record()]
    assert told == [
        ("security.audit.access", f"User {user.pk} (ada)", "projects [1, 2]"),
        ("security.audit.access", f"User {user.pk} (ada)", "all projects"),
    ]
