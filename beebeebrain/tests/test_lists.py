"""Lists, of every kind of row: the fast way of reading them shows what the detail shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import URLResolver, get_resolver, reverse
from rest_framework.renderers import JSONRenderer
from rest_framework.test import APIClient

from api.queries import Shape
from api.rows import Rows
from api.views import RowViewSet

pytestmark = pytest.mark.django_db

# These rows say by a method of theirs what is shown; all others are read as values.
SHOW_THEMSELVES = {"breaker", "event", "log"}


def listed(patterns: list[Any]) -> Iterator[tuple[str, Any]]:
    """Return the name and the view of every list."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from listed(pattern.url_patterns)
        elif str(pattern.name).endswith("-list"):
            yield pattern.name.removesuffix("-list"), pattern.callback.cls


VIEWS = {name: view for name, view in listed(get_resolver().url_patterns) if issubclass(view, RowViewSet)}


@pytest.fixture
def client(admin: User) -> APIClient:
    """Return the client of an admin, in a world with rows of every kind."""
    client = APIClient()
    client.force_authenticate(admin)
    return client


def test_there_are_lists() -> None:
    assert {"project", "agent", "task", "run", "item", "document", "comment"} <= VIEWS.keys()


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_rows_are_shown_as_by_their_serializer_to_the_byte(client: APIClient, name: str) -> None:
    view, answer = VIEWS[name], client.get(reverse(f"{name}-list"))
    ids = [row["id"] for row in answer.json()["results"]]
    rows = view.queryset.annotate(**view.reads).in_bulk(ids)
    shown = [JSONRenderer().render(view.serializer_class(rows[id_]).data) for id_ in ids]
    assert shown
    assert answer.content == b'{"next":null,"previous":null,"results":[' + b",".join(shown) + b"]}"


@pytest.mark.parametrize("name", sorted(VIEWS.keys() - {"event"}))
def test_a_row_of_a_list_is_the_row_of_its_detail_to_the_byte(client: APIClient, name: str) -> None:
    rows = client.get(reverse(f"{name}-list"))
    shown = [client.get(reverse(f"{name}-detail", args=[row["id"]])).content for row in rows.json()["results"]]
    assert rows.content == b'{"next":null,"previous":null,"results":[' + b",".join(shown) + b"]}"


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_a_row_of_one_field_has_a_page_behind_it(client: APIClient, name: str) -> None:
    first = client.get(reverse(f"{name}-list"), {"fields": "id", "limit": "1"}).json()
    assert [row.keys() for row in first["results"]] == [{"id"}]
    second = client.get(first["next"]).json()["results"] if first["next"] else []
    assert first["results"] != second


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_rows_are_read_as_values(name: str) -> None:
    view = VIEWS[name]
    fast = Rows.of(view.queryset.annotate(**view.reads), view.serializer_class, Shape(), ())
    assert (fast is None) == (name in SHOW_THEMSELVES)


def test_what_is_expanded_is_shown_whole(client: APIClient) -> None:
    row = client.get(reverse("task-list"), {"expand": "project", "limit": "1"}).json()["results"][0]
    assert row["project"] == client.get(reverse("project-detail", args=[row["project"]["id"]])).json()
