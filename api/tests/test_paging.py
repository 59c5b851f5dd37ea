"""Paging over accounts: they have names that repeat and times that are empty."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.exceptions import ValidationError
from rest_framework.filters import OrderingFilter
from rest_framework.generics import ListAPIView
from rest_framework.response import Response
from rest_framework.serializers import ModelSerializer
from rest_framework.test import APIRequestFactory

from api.paging import CursorPage

pytestmark = pytest.mark.django_db


class UserSerializer(ModelSerializer[User]):
    class Meta:
        model = User
        fields = ["id"]


class Users(ListAPIView[User]):
    authentication_classes = ()
    permission_classes = ()
    queryset = User.objects.all()
    serializer_class = UserSerializer
    pagination_class = CursorPage
    filter_backends = (OrderingFilter,)
    ordering_fields = ("id", "first_name", "last_login", "date_joined")


def get(url: str) -> Response:
    answer: Response = Users.as_view()(APIRequestFactory().get(url))
    return answer


def ids(answer: Response) -> list[int]:
    return [row["id"] for row in answer.data["results"]]


def walk(url: str, link: str) -> tuple[list[list[int]], Response]:
    """Follow a link to its end; return the pages and the last answer."""
    answer = get(url)
    pages = [ids(answer)]
    while answer.data[link]:
        answer = get(answer.data[link])
        pages.append(ids(answer))
    return pages, answer


@pytest.fixture
def users() -> list[User]:
    names = ["b", "a", "b", "c", "a", "b", "a"]
    logins = [3, None, 1, None, 2, 1, None]
    return [
        User.objects.create(
            username=f"u{number}",
            first_name=name,
            last_login=None if login is None else datetime(2026, 1, login, 12, 0, 0, 123457, UTC),
        )
        for number, (name, login) in enumerate(zip(names, logins, strict=True))
    ]


def expected(ordering: str, users: list[User]) -> list[int]:
    """Return the order: empty values last whatever the direction, ties by the id in the same direction."""
    field, is_descending = ordering.lstrip("-"), ordering.startswith("-")
    rows = sorted(users, key=lambda user: user.pk, reverse=is_descending)
    present = [user for user in rows if getattr(user, field) is not None]
    present.sort(key=lambda user: (getattr(user, field), user.pk), reverse=is_descending)
    return [user.pk for user in [*present, *(user for user in rows if getattr(user, field) is None)]]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
@pytest.mark.parametrize(
    "ordering", ["id", "-id", "first_name", "-first_name", "last_login", "-last_login", "date_joined"]
)
def test_pages_forth_and_back_hold_every_row_once_in_order(ordering: str, limit: int, users: list[User]) -> None:
    pages, last = walk(f"/?ordering={ordering}&limit={limit}", "next")
    in_order = [id_ for page in pages for id_ in page]
    assert in_order == expected(ordering, users)
    if last.data["previous"]:
        back, _ = walk(last.data["previous"], "previous")
        assert [id_ for page in reversed(back) for id_ in page] + ids(last) == in_order


def test_without_an_order_the_newest_come_first(users: list[User]) -> None:
    assert ids(get("/")) == [user.pk for user in reversed(users)]


def test_more_equal_rows_than_a_page_holds_are_no_trouble() -> None:
    User.objects.bulk_create(User(username=f"u{number}", first_name="bee") for number in range(1200))
    pages, _ = walk("/?ordering=first_name&limit=100", "next")
    assert len({id_ for page in pages for id_ in page}) == 1200 == sum(map(len, pages))


def test_a_row_that_comes_in_between_shifts_no_page(users: list[User]) -> None:
    first = get("/?limit=3")
    User.objects.create(username="late")
    assert ids(get(first.data["next"])) == [user.pk for user in reversed(users)][3:6]


def test_a_page_ends_at_its_last_row_even_when_that_is_deleted(users: list[User]) -> None:
    first = get("/?limit=3")
    User.objects.filter(pk__in=ids(first)).delete()
    assert ids(get(first.data["next"])) == [user.pk for user in reversed(users)][3:6]


def test_an_empty_list_has_no_links() -> None:
    assert get("/").data == {"next": None, "previous": None, "results": []}


def test_a_limit_beyond_200_gives_200() -> None:
    User.objects.bulk_create(User(username=f"u{number}") for number in range(201))
    assert len(ids(get("/?limit=100000000000000"))) == 200


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1.5", "", "²", "0" * 12])
def test_a_limit_that_is_none_is_refused(limit: str) -> None:
    assert code_of(f"/?limit={limit}") == "limit"


@pytest.mark.parametrize(
    "position",
    [
        "nonsense",
        [],
        [0],
        [0, "x"],
        [0, 1, 2],
        [0, [1]],
        [0, {"a": 1}],
        [0, 1.5],
        [0, "\x00"],
        {"a": 1},
        7,
    ],
)
def test_a_cursor_made_up_is_refused(position: Any) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps(position).encode()).decode()
    assert code_of(f"/?cursor={cursor}") == "cursor"


@pytest.mark.parametrize("cursor", ["", "x", "%ff", "ééé", "A" * 5000])
def test_a_cursor_that_cannot_be_read_is_refused(cursor: str) -> None:
    assert code_of(f"/?cursor={cursor}") == "cursor"


def test_a_cursor_of_another_order_is_refused(users: list[User]) -> None:
    cursor = get("/?ordering=first_name&limit=1").data["next"].partition("cursor=")[2].partition("&")[0]
    assert code_of(f"/?ordering=last_login&cursor={cursor}") == "cursor"


def code_of(url: str) -> str:
    answer = get(url)
    assert answer.status_code == ValidationError.status_code, answer.data
    return str(answer.data["errors"][0]["parameter"])
