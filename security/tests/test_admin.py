from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from security.models import ApiToken
from security.services import create_token, revoke_token
from security.tokens import find_token, usable

pytestmark = pytest.mark.django_db

CONFIRMED = {"_form_submitted": "on"}


@pytest.fixture
def token(admin_user: User) -> ApiToken:
    return create_token(admin_user, name="ci", scopes=["read"], actor="user:admin")[0]


@pytest.fixture
def manager() -> Client:
    """Somebody with the role admin who is no superuser."""
    user = User.objects.create_user("manager", is_staff=True)
    user.groups.add(Group.objects.get_or_create(name="admin")[0])
    client = Client()
    client.force_login(user)
    return client


def test_a_new_token_is_shown_once(admin_client: Client, admin_user: User) -> None:
    fields = {"user": admin_user.pk, "name": "ci", "scopes": ["read", "write"]}
    page = admin_client.post(reverse("admin:security_apitoken_add"), fields, follow=True).content.decode()
    shown = re.search(r"bbb_[\w-]{20,}", page)
    assert shown is not None
    assert usable(find_token(shown.group())).scopes == ["read", "write"]
    again = admin_client.get(reverse("admin:security_apitoken_changelist")).content.decode()
    assert shown.group() not in again


def test_a_token_needs_a_scope(admin_client: Client, admin_user: User) -> None:
    fields = {"user": admin_user.pk, "name": "ci"}
    assert admin_client.post(reverse("admin:security_apitoken_add"), fields).status_code == 200
    assert not ApiToken.objects.exists()


def test_tokens_are_revoked(token: ApiToken, admin_client: Client) -> None:
    url = reverse("admin:security_apitoken_changelist")
    admin_client.post(url, {"action": "revoke", "_selected_action": [token.pk]})
    assert ApiToken.objects.get().revoked_at is not None


def test_one_token_is_revoked_on_its_page(token: ApiToken, admin_client: Client) -> None:
    admin_client.post(reverse("admin:security_apitoken_revoke_one", args=[token.pk]), CONFIRMED)
    assert ApiToken.objects.get().revoked_at is not None


def test_the_hash_of_a_token_is_not_shown(token: ApiToken, admin_client: Client) -> None:
    page = admin_client.get(reverse("admin:security_apitoken_change", args=[token.pk])).content.decode()
    assert token.digest not in page


def test_who_is_no_superuser_cannot_take_one_over(manager: Client, admin_user: User) -> None:
    assert manager.get(reverse("admin:auth_user_change", args=[admin_user.pk])).status_code == 200
    assert manager.post(reverse("admin:auth_user_change", args=[admin_user.pk]), {}).status_code == 403
    assert manager.get(reverse("admin:auth_user_password_change", args=[admin_user.pk])).status_code == 403


def test_who_is_no_superuser_makes_none(manager: Client) -> None:
    other = User.objects.create_user("other")
    fields = {"username": "other", "is_active": "on", "is_staff": "on", "is_superuser": "on"}
    assert manager.post(reverse("admin:auth_user_change", args=[other.pk]), fields).status_code == 302
    other.refresh_from_db()
    assert (other.is_staff, other.is_superuser) == (True, False)


def test_a_user_is_made_with_a_password(admin_client: Client) -> None:
    fields = {
        "username": "maya",
        "usable_password": "true",
        "password1": "pollen-and-honey",
        "password2": "pollen-and-honey",
    }
    assert admin_client.post(reverse("admin:auth_user_add"), fields).status_code == 302
    assert User.objects.get(username="maya").check_password("pollen-and-honey")


def test_a_group_shows_its_members(manager: Client) -> None:
    assert "manager" in manager.get(reverse("admin:auth_group_changelist")).content.decode()


def test_of_several_tokens_those_are_named_that_were_revoked_already(
    token: ApiToken, admin_user: User, admin_client: Client
) -> None:
    valid, _ = create_token(admin_user, name="new", scopes=["read"], actor="user:admin")
    revoke_token(token, actor="user:admin")
    data = {"action": "revoke", "_selected_action": [token.pk, valid.pk]}
    response = admin_client.post(reverse("admin:security_apitoken_changelist"), data)
    said = [str(message) for message in get_messages(response.wsgi_request)]
    assert said == ["1 revoked.", f"{token}: It is revoked already."]


@pytest.mark.parametrize(
    ("state", "names"), [("valid", {"ci"}), ("expired", {"old"}), ("revoked", {"gone"}), ("", {"ci", "old", "gone"})]
)
def test_tokens_are_found_by_their_state(
    state: str, names: set[str], token: ApiToken, admin_user: User, admin_client: Client
) -> None:
    past = timezone.now() - timedelta(days=1)
    create_token(admin_user, name="old", scopes=["read"], expires_at=past, actor="user:admin")
    revoke_token(create_token(admin_user, name="gone", scopes=["read"], actor="user:admin")[0], actor="user:admin")
    page = admin_client.get(reverse("admin:security_apitoken_changelist"), {"state": state})
    assert {row.name for row in page.context["cl"].result_list} == names
