"""What is done to accounts in the admin, as the event log tells it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from events.models import Event
from events.states import EventType

pytestmark = pytest.mark.django_db


def recorded() -> list[str]:
    """Return what the audit trail tells of accounts: the action and its reason."""
    events = Event.objects.filter(type=EventType.SECURITY_AUDIT_ACCESS).order_by("id")
    return [f"{event.actor}: {event.payload['action']} {event.payload['reason']}".strip() for event in events]


def test_a_user_made_in_the_admin_is_on_record(admin_client: Client) -> None:
    group = Group.objects.get_or_create(name="operator")[0]
    password = {"usable_password": "true", "password1": "pollen-and-honey", "password2": "pollen-and-honey"}
    fields = {"username": "maya", **password, "groups": [group.pk], "is_staff": "on"}
    assert admin_client.post(reverse("admin:auth_user_add"), fields).status_code == 302
    assert User.objects.get(username="maya").groups.get() == group
    assert recorded() == ["user:admin: user.create groups: operator; is_active: True; is_staff: True"]


def test_a_role_given_in_the_admin_is_on_record(admin_client: Client) -> None:
    user, group = User.objects.create_user("maya"), Group.objects.get_or_create(name="viewer")[0]
    fields = {"groups": [group.pk], "is_active": "on"}
    assert admin_client.post(reverse("admin:auth_user_change", args=[user.pk]), fields).status_code == 302
    assert user.groups.get() == group
    assert recorded() == ["user:admin: user.update groups: none → viewer"]


def test_a_password_given_in_the_admin_is_on_record(admin_client: Client) -> None:
    user = User.objects.create_user("maya")
    password = {"usable_password": "true", "password1": "pollen-and-honey", "password2": "pollen-and-honey"}
    url = reverse("admin:auth_user_password_change", args=[user.pk])
    admin_client.post(url, {**password, "set-password": "1"})
    assert User.objects.get(pk=user.pk).check_password("pollen-and-honey")
    assert recorded() == ["user:admin: user.password"]


def test_a_password_that_is_refused_is_not_on_record(admin_client: Client, admin_user: User) -> None:
    fields = {"old_password": "wrong", "new_password1": "pollen-and-honey", "new_password2": "pollen-and-honey"}
    assert admin_client.post(reverse("admin:password_change"), fields).status_code == 200
    assert recorded() == []


def test_ones_own_password_is_changed_and_on_record(admin_client: Client, admin_user: User) -> None:
    fields = {"old_password": "password", "new_password1": "pollen-and-honey", "new_password2": "pollen-and-honey"}
    assert admin_client.post(reverse("admin:password_change"), fields).status_code == 302
    assert recorded() == ["user:admin: user.password"]
