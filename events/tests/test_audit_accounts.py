from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from django.db import transaction

from events.models import Event
from events.states import EventType
from security.accounts import create_user, password_watched, update_user
from security.roles import Role
from security.tests.factories import ACTOR, make_user

pytestmark = pytest.mark.django_db


def recorded() -> list[tuple[str, str, str]]:
    events = Event.objects.filter(type=EventType.SECURITY_AUDIT_ACCESS).order_by("id")
    return [(event.payload["action"], event.payload["resource"], event.payload["reason"]) for event in events]


def test_a_new_account_is_on_record_with_its_rights() -> None:
    group = Group.objects.get_or_create(name="operator")[0]
    user = create_user(User(username="maya", is_staff=True), groups=[group], actor=ACTOR)
    assert list(user.groups.all()) == [group]
    assert recorded() == [
        ("user.create", f"User {user.pk} (maya)", "groups: operator; is_active: True; is_staff: True")
    ]


def test_a_change_of_roles_is_on_record_before_and_after() -> None:
    user = make_user(Role.VIEWER, username="maya")
    update_user(user, groups=[Group.objects.get_or_create(name="admin")[0]], is_staff=True, actor=ACTOR)
    assert recorded() == [("user.update", f"User {user.pk} (maya)", "groups: viewer → admin; is_staff: False → True")]


def test_of_a_personal_field_only_the_name_is_on_record() -> None:
    user = make_user(username="maya")
    update_user(user, email="maya@example.org", actor=ACTOR)
    assert recorded() == [("user.update", f"User {user.pk} (maya)", "email changed")]
    assert User.objects.get().email == "maya@example.org"


def test_taking_all_roles_away_is_on_record() -> None:
    user = make_user(Role.VIEWER, username="maya")
    update_user(user, groups=[], actor=ACTOR)
    assert [reason for _, _, reason in recorded()] == ["groups: viewer → none"]


def test_what_changes_nothing_is_not_on_record() -> None:
    user = make_user(Role.VIEWER, username="maya")
    update_user(user, groups=user.groups.all(), is_active=True, actor=ACTOR)
    assert recorded() == []


def test_a_new_password_is_on_record_and_itself_is_not() -> None:
    user = make_user(username="maya")
    with password_watched(user.pk, actor=ACTOR):
        user.set_password("pollen-and-honey")
        user.save(update_fields=["password"])
    assert recorded() == [("user.password", f"User {user.pk} (maya)", "")]


def test_a_password_that_stays_is_not_on_record() -> None:
    with password_watched(make_user(username="maya").pk, actor=ACTOR):
        pass
    assert recorded() == []


def test_a_change_that_is_undone_takes_its_record_along() -> None:
    user = make_user(username="maya")

    @transaction.atomic
    def change_of_mind() -> None:
        update_user(user, is_active=False, actor=ACTOR)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        change_of_mind()
    assert recorded() == []
    assert User.objects.get().is_active
