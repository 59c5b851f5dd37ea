from __future__ import annotations

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db.migrations.state import ProjectState
from pytest_django import DjangoAssertNumQueries

from security.grants import grant_roles
from security.roles import Role

pytestmark = pytest.mark.django_db


def held(role: Role) -> set[str]:
    rows = Permission.objects.filter(group__name=role.group).values_list("content_type__app_label", "codename")
    return {f"{app}.{name}" for app, name in rows}


def again() -> None:
    grant_roles(apps, using="default")


def test_a_viewer_views_and_nothing_else() -> None:
    assert {name.split(".")[1].split("_")[0] for name in held(Role.VIEWER)} == {"view"}
    assert {"orchestration.view_task", "runtime.view_taskrun", "events.view_event"} <= held(Role.VIEWER)


def test_an_operator_works_with_tasks_and_the_inbox() -> None:
    more = held(Role.OPERATOR) - held(Role.VIEWER)
    nouns = {name.split("_", 1)[1] for name in more}
    assert nouns == {"task", "taskdependency", "document", "comment", "inboxitem"}


def test_an_admin_holds_all_that_is_ours() -> None:
    names = Permission.objects.filter(content_type__app_label__in=settings.OUR_APPS)
    ours = {f"{permission.content_type.app_label}.{permission.codename}" for permission in names}
    assert ours <= held(Role.ADMIN)
    assert {"auth.change_user", "auth.view_group"} <= held(Role.ADMIN)
    assert not {"auth.delete_user", "auth.change_group", "auth.change_permission"} & held(Role.ADMIN)


def test_each_role_holds_what_the_one_below_holds() -> None:
    assert held(Role.VIEWER) < held(Role.OPERATOR) < held(Role.ADMIN)


def test_credentials_are_for_admins() -> None:
    assert not any(name.startswith(("security.", "auth.")) for name in held(Role.OPERATOR))


def test_a_model_of_a_later_migration_is_covered() -> None:
    model = ContentType.objects.create(app_label="runtime", model="later")
    for action in ("view", "add"):
        Permission.objects.create(content_type=model, codename=f"{action}_later", name=action)
    again()
    assert "runtime.view_later" in held(Role.VIEWER)
    assert "runtime.add_later" in held(Role.ADMIN) - held(Role.OPERATOR)


def test_models_of_others_are_left_to_others() -> None:
    assert not any(name.startswith(("sessions.", "admin.", "contenttypes.")) for name in held(Role.ADMIN))


def test_granting_again_changes_nothing() -> None:
    before = set(Group.permissions.through.objects.values_list("pk", flat=True))
    again()
    assert set(Group.permissions.through.objects.values_list("pk", flat=True)) == before != set()


def test_granting_again_asks_little(django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_max_num_queries(7):
        again()


def test_migrating_mends_what_somebody_took_apart() -> None:
    wanted = {role: held(role) for role in Role}
    Group.objects.filter(name="operator").delete()
    Group.objects.get(name="viewer").permissions.add(Permission.objects.get(codename="change_task"))
    call_command("migrate", verbosity=0)
    assert {role: held(role) for role in Role} == wanted


def test_groups_of_others_are_not_touched() -> None:
    other = Group.objects.create(name="auditors")
    other.permissions.add(Permission.objects.get(codename="view_user"))
    again()
    assert list(other.permissions.values_list("codename", flat=True)) == ["view_user"]


def test_where_accounts_are_not_migrated_yet_nothing_is_done() -> None:
    grant_roles(ProjectState().apps, using="default")
