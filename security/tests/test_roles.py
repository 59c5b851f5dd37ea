from __future__ import annotations

import importlib

import pytest
from django.apps import apps
from django.contrib.auth.models import AnonymousUser, Group, User
from django.db import connection

from security.roles import Role, role_of, role_within
from security.tests.factories import make_user

pytestmark = pytest.mark.django_db


def test_a_role_includes_the_ones_below() -> None:
    assert Role.VIEWER < Role.OPERATOR < Role.ADMIN


@pytest.mark.parametrize("role", list(Role))
def test_a_group_gives_its_role(role: Role) -> None:
    assert role_of(make_user(role)) is role


def test_the_highest_group_counts() -> None:
    user = make_user(Role.VIEWER)
    user.groups.add(Group.objects.get_or_create(name="operator")[0], Group.objects.get_or_create(name="admin")[0])
    assert role_of(user) is Role.ADMIN


def test_a_superuser_is_an_admin() -> None:
    assert role_of(User.objects.create_superuser("root")) is Role.ADMIN


def test_a_user_without_a_group_has_no_role() -> None:
    assert role_of(make_user()) is None


def test_other_groups_give_no_role() -> None:
    user = make_user()
    user.groups.add(Group.objects.create(name="administrators"))
    assert role_of(user) is None


def test_an_inactive_user_has_no_role() -> None:
    assert role_of(make_user(Role.ADMIN, is_active=False)) is None


def test_a_stranger_has_no_role() -> None:
    assert role_of(AnonymousUser()) is None


@pytest.mark.parametrize(
    ("scopes", "role"),
    [(["read"], Role.VIEWER), (["read", "write"], Role.OPERATOR), (["admin"], Role.ADMIN), (["all"], None), ([], None)],
)
def test_the_widest_known_scope_counts(scopes: list[str], role: Role | None) -> None:
    assert role_within(scopes) is role


def test_the_migration_makes_a_group_for_each_role() -> None:
    Group.objects.all().delete()
    migration = importlib.import_module("security.migrations.0002_roles")
    migration.create_groups(apps, connection.SchemaEditorClass(connection))
    assert {role.group for role in Role} == set(Group.objects.values_list("name", flat=True))
