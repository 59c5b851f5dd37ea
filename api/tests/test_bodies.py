from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import DjangoAssertNumQueries
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from api.bodies import RowField, StrictSerializer, validated
from api.problems import faults_in


class Limits(StrictSerializer):
    usd = serializers.FloatField(required=False)


class Draft(StrictSerializer):
    title = serializers.CharField()
    limits = Limits(required=False)


class Plan(StrictSerializer):
    id = serializers.IntegerField(read_only=True)
    name = serializers.CharField(required=False, allow_null=True)
    drafts = Draft(many=True, required=False)
    authors = RowField(many=True, queryset=User.objects.all(), required=False)
    owner = RowField(queryset=User.objects.all(), required=False)
    budget = serializers.DecimalField(max_digits=6, decimal_places=2, allow_null=True, required=False)


def refused(body: Any) -> list[tuple[str, str]]:
    """Return the code and the place of each error."""
    with pytest.raises(ValidationError) as error:
        validated(Plan, body)
    return [(fault.code, "/".join(map(str, fault.place))) for fault in faults_in(error.value.detail)]


def test_a_body_may_leave_out_what_is_not_required() -> None:
    assert validated(Plan, {}) == {}


def test_what_may_be_null_may_be_null() -> None:
    assert validated(Plan, {"name": None}) == {"name": None}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"colour": 1}, ("unknown_field", "colour")),
        ({"id": 1}, ("unknown_field", "id")),
        ({"Name": "x"}, ("unknown_field", "Name")),
        ({"drafts": [{"title": "x"}, {"title": "x", "colour": 1}]}, ("unknown_field", "drafts/1/colour")),
        ({"drafts": [{"title": "x", "limits": {"beer": 1}}]}, ("unknown_field", "drafts/0/limits/beer")),
        ({"drafts": [{}]}, ("required", "drafts/0/title")),
        ({"drafts": [{"title": None}]}, ("null", "drafts/0/title")),
        ({"drafts": None}, ("null", "drafts")),
        ({"drafts": [1]}, ("invalid", "drafts/0")),
        ({"drafts": {}}, ("not_a_list", "drafts")),
        ({"drafts": [{"title": "x", "limits": 7}]}, ("invalid", "drafts/0/limits")),
        ([], ("invalid", "")),
        ([{}], ("invalid", "")),
        ("name", ("invalid", "")),
        (7, ("invalid", "")),
        (None, ("null", "")),
    ],
)
def test_what_does_not_belong_there_is_refused_by_its_place(body: Any, error: tuple[str, str]) -> None:
    assert refused(body) == [error]


@pytest.mark.parametrize("amount", ["1.50", "-2", 1.5, 2, None])
def test_an_amount_is_a_number_or_its_digits(amount: object) -> None:
    validated(Plan, {"budget": amount})


@pytest.mark.parametrize("amount", ["", " ", "1e1", "NaN", " 1", "1\n", ".5", "\u0661", True])
def test_other_texts_are_no_amounts(amount: object) -> None:
    assert refused({"budget": amount}) == [("invalid", "budget")]


def test_every_unknown_field_is_told() -> None:
    assert refused({"a": 1, "b": 2}) == [("unknown_field", "a"), ("unknown_field", "b")]


@pytest.mark.django_db
class TestRows:
    @pytest.fixture
    def users(self) -> list[User]:
        return [User.objects.create(username=f"u{number}") for number in range(20)]

    def test_ids_become_rows_in_their_order(self, users: list[User]) -> None:
        ids = [users[3].pk, users[1].pk, users[3].pk]
        assert validated(Plan, {"authors": ids})["authors"] == [users[3], users[1], users[3]]

    def test_all_rows_are_found_in_one_query(
        self, users: list[User], django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        with django_assert_num_queries(1):
            validated(Plan, {"authors": [user.pk for user in users]})

    @pytest.mark.parametrize("number", [0, -1, 2**31, 2**63, 2**64, 10**30, -(2**70)])
    def test_an_id_that_is_nobodys_is_refused(self, users: list[User], number: int) -> None:
        assert refused({"owner": number}) == [("does_not_exist", "owner")]
        assert refused({"authors": [users[0].pk, number]}) == [("does_not_exist", "authors/1")]

    @pytest.mark.parametrize("value", ["x", 1.5, True, [], {}])
    def test_what_is_no_id_is_refused(self, users: list[User], value: Any) -> None:
        assert refused({"owner": value}) == [("invalid", "owner")]
        assert refused({"authors": [users[0].pk, value]}) == [("invalid", "authors/1")]

    def test_each_bad_id_is_told(self, users: list[User]) -> None:
        found = refused({"authors": [0, users[0].pk, -1]})
        assert found == [("does_not_exist", "authors/0"), ("does_not_exist", "authors/2")]

    @pytest.mark.parametrize("value", [7, "abc", {"a": 1}])
    def test_ids_come_in_a_list(self, value: Any) -> None:
        assert refused({"authors": value}) == [("not_a_list", "authors")]
