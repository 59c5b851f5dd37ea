"""Which serializers show rows that are read as values, and which show them themselves."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db.models import Value
from rest_framework import serializers

from api.queries import Shape
from api.rows import Rows

ALL = Shape()


class UserSerializer(serializers.ModelSerializer[User]):
    class Meta:
        model = User
        fields = ["id", "username", "is_active"]


class LogEntrySerializer(serializers.ModelSerializer[LogEntry]):
    """A row with another one in front of it, and one that may be missing."""

    name = serializers.CharField(source="user.username")

    class Meta:
        model = LogEntry
        fields = ["id", "user", "name", "action_time"]


def of(serializer: type[serializers.Serializer[Any]], shape: Shape = ALL) -> Rows | None:
    return Rows.of(User.objects.all(), serializer, shape, ())


def test_columns_are_read_as_values() -> None:
    assert of(UserSerializer) is not None


def test_columns_of_a_row_that_is_always_there_are_too() -> None:
    assert Rows.of(LogEntry.objects.all(), LogEntrySerializer, ALL, ()) is not None


@pytest.mark.django_db
def test_fields_that_are_not_asked_for_are_not_read() -> None:
    User.objects.create(username="bee")
    rows = of(UserSerializer, Shape(fields=frozenset({"username"})))
    assert rows is not None
    assert list(rows.values) == [{"username": "bee"}]


@pytest.mark.django_db
def test_what_the_page_needs_is_read_and_not_shown() -> None:
    User.objects.create(username="bee")
    rows = Rows.of(User.objects.all(), UserSerializer, Shape(fields=frozenset({"username"})), ("email",))
    assert rows is not None
    assert rows.show(rows.values) == [{"username": "bee"}]


@pytest.mark.django_db
def test_what_the_query_works_out_is_shown_as_it_stands() -> None:
    class Serializer(UserSerializer):
        sting = serializers.ListField(child=serializers.CharField())

        class Meta(UserSerializer.Meta):
            fields = ["sting"]

    User.objects.create(username="bee")
    rows = Rows.of(User.objects.annotate(sting=Value("sharp")), Serializer, ALL, ())
    assert rows is not None
    assert rows.show(rows.values) == [{"sting": "sharp"}]


def test_a_method_needs_the_row_itself() -> None:
    class Serializer(UserSerializer):
        shouted = serializers.SerializerMethodField()

        class Meta(UserSerializer.Meta):
            fields = ["shouted"]

    assert of(Serializer) is None


def test_a_property_needs_the_row_itself() -> None:
    class Serializer(UserSerializer):
        is_anonymous = serializers.BooleanField()

        class Meta(UserSerializer.Meta):
            fields = ["is_anonymous"]

    assert of(Serializer) is None


def test_a_serializer_with_words_of_its_own_shows_rows_itself() -> None:
    class Serializer(UserSerializer):
        def to_representation(self, instance: User) -> dict[str, Any]:
            return {"name": instance.username}

    assert of(Serializer) is None


def test_whole_rows_in_place_of_ids_are_shown_by_their_serializers() -> None:
    assert of(UserSerializer, Shape(expand=frozenset({"project"}))) is None
