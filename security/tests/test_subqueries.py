from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db.models import OuterRef, QuerySet

from security.roles import Role
from security.subqueries import CompiledOnce
from security.tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def kept() -> QuerySet[Any]:
    """Return users with the name of a group of theirs."""
    groups = Group.objects.filter(user=OuterRef("pk")).order_by("name")
    return User.objects.annotate(group=CompiledOnce(groups.values("name")[:1]))


def test_each_row_has_what_the_subquery_finds_for_it(kept: QuerySet[Any]) -> None:
    first, second, none = make_user(Role.ADMIN), make_user(Role.VIEWER), make_user()
    for _ in range(2):
        assert dict(kept.values_list("pk", "group")) == {first.pk: "admin", second.pk: "viewer", none.pk: None}


def test_it_is_compiled_once_for_all_queries_of_a_kept_queryset(
    kept: QuerySet[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    list(kept.filter(pk=1))

    def compiled_again(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("django.db.models.sql.query.Query.as_sql", compiled_again)
    assert list(kept.filter(pk=2)) == []


def test_inside_another_query_it_is_about_that_ones_tables(kept: QuerySet[Any]) -> None:
    admin, viewer = make_user(Role.ADMIN), make_user(Role.VIEWER)
    list(kept)
    others = User.objects.filter(pk__in=kept.filter(group="viewer").values("pk"))
    assert (admin in others, list(others)) == (False, [viewer])
