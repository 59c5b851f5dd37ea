"""JSON by orjson is the JSON that REST framework writes."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.utils.functional import lazystr
from rest_framework import renderers, serializers
from rest_framework.utils.serializer_helpers import ReturnDict

from api.renderers import JSONRenderer
from security.roles import Role


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        [],
        {"b": 1, "a": [True, None, 1.5, -0.0, 0.1, "ü", "\n", '"', "</script>"]},
        datetime(2026, 11, 24, 9, 6, tzinfo=UTC),
        datetime(2026, 11, 24, 9, 6, 0, 123456, tzinfo=UTC),
        datetime(2026, 11, 24, 9, 6, 0, 120000, tzinfo=ZoneInfo("UTC")),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(2026, 11, 24, 9, 6, tzinfo=timezone(timedelta(hours=2))),
        date(2026, 11, 24),
        time(9, 6, 0, 123456),
        timedelta(seconds=1.5),
        Decimal("5.000000"),
        Decimal("1E+2"),
        UUID(int=7),
        lazystr("Later"),
        (1, 2),
        b"bytes",
        ReturnDict({"a": 1}, serializer=serializers.Serializer()),
        {Role.ADMIN: Role.ADMIN},
        {1: "one", None: "none"},
        2**63 - 1,
        10**30,
        -(10**30),
    ],
)
def test_a_value_is_written_as_by_rest_framework(value: Any) -> None:
    assert JSONRenderer().render({"v": value}) == renderers.JSONRenderer().render({"v": value})


def test_nothing_is_an_empty_body() -> None:
    assert JSONRenderer().render(None) == b""


def test_whoever_asks_for_an_indent_gets_it() -> None:
    assert JSONRenderer().render({"a": 1}, "application/json; indent=2") == b'{\n  "a": 1\n}'


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_null(number: float) -> None:
    assert JSONRenderer().render([number]) == b"[null]"


@pytest.mark.parametrize("number", [1e16, 1e-7, 1.7976931348623157e308, 5e-324])
def test_a_number_of_any_size_keeps_its_value(number: float) -> None:
    assert json.loads(JSONRenderer().render(number)) == number


@pytest.mark.django_db
def test_rows_of_a_query_are_a_list() -> None:
    User.objects.create(username="bee")
    assert JSONRenderer().render(User.objects.values_list("username", flat=True)) == b'["bee"]'
