"""What the next test finds after one that commits."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import TransactionTestCase

from orchestration.tests.factories import make_agent, make_project, make_task
from security.tests.factories import make_token, make_user
from tests import cleaning

pytestmark = pytest.mark.django_db(transaction=True)

MADE = {Group, Permission, ContentType}


def rows() -> dict[str, int]:
    return {model._meta.label: model._base_manager.count() for model in apps.get_models() if model not in MADE}


def test_no_row_of_a_test_is_left_and_what_the_migrations_made_is(tmp_path: Path) -> None:
    made = [model._base_manager.count() for model in MADE]
    project = make_project(tmp_path)
    make_agent(project), make_task(project)
    make_token(make_user())
    assert any(rows().values()) and all(made)
    cleaning.delete_rows(connection)
    assert not any(rows().values())
    assert [model._base_manager.count() for model in MADE] == made


def test_what_a_test_has_taken_from_the_groups_is_made_anew() -> None:
    def groups() -> dict[str, int]:
        return {group.name: group.permissions.count() for group in Group.objects.all()}

    cleaning.clean(TransactionTestCase())
    made = groups()
    Permission.objects.all().delete()
    Group.objects.first().delete()  # type: ignore[union-attr]
    cleaning.clean(TransactionTestCase())
    assert groups() == made
