from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from api import versions

ROW = SimpleNamespace(version=4)


def request(**headers: str) -> Request:
    return Request(APIRequestFactory().patch("/", headers=headers))


def expected(tags: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    return versions.expected(request(**{"If-Match": tags}), ROW, body or {})


def test_without_if_match_the_body_decides() -> None:
    assert versions.expected(request(), ROW, {"title": "New"}) == {"title": "New"}


@pytest.mark.parametrize("tags", ["*", " * "])
def test_a_star_is_for_any_version(tags: str) -> None:
    assert expected(tags) == {}


@pytest.mark.parametrize("tags", ['"4"', '"2","4"', 'W/"7", "4" , "8"', ' "4" '])
def test_the_right_tag_may_be_one_of_several(tags: str) -> None:
    assert expected(tags, {"title": "New"}) == {"title": "New", "expected_version": 4}


@pytest.mark.parametrize(
    "tags",
    ['"2"', 'W/"4"', "4", '"4', '4"', "'4'", '"4 "', '"04"', "", ",", '"*"', '"2", W/"4"', "\t", '""', '"', "4, 4"],
)
def test_any_other_tag_is_for_a_version_that_no_row_has(tags: str) -> None:
    assert expected(tags, {"expected_version": 4}) == {"expected_version": 0}


def test_a_version_in_the_body_counts_besides_the_right_tag() -> None:
    assert expected('"4"', {"expected_version": 3}) == {"expected_version": 3}


def test_a_change_without_a_body_is_for_the_version_of_the_tag() -> None:
    assert versions.guarded(request(**{"If-Match": '"4"'}), ROW) == {"expected_version": 4}
    assert versions.guarded(request(), ROW) == {}


def test_a_row_without_a_version_has_no_tag() -> None:
    assert (versions.headers(ROW), versions.headers(SimpleNamespace())) == ({"ETag": '"4"'}, {})
