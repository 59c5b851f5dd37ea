"""The rows of a list, fast: what a serializer shows is worked out once for its class, not for each field of each row.

A column of the database holds what its type says and is shown as it stands; whatever else a row has is converted by the
serializer's own field. A serializer with a field that needs more than its value, such as a method, writes its rows itself:
the same, only slower.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from django.db.models import Model
from rest_framework import serializers
from rest_framework.fields import Field
from rest_framework.relations import PrimaryKeyRelatedField

from api.bodies import RowField
from api.queries import Shape

Serializer = serializers.Serializer[Any]
Convert = Callable[[Any], Any]

_RELATED = {PrimaryKeyRelatedField, RowField}
# Over a column, what these show is what the column holds; times become text with the whole answer (api/renderers.py).
_AS_IT_STANDS = _RELATED | {
    serializers.BooleanField,
    serializers.CharField,
    serializers.ChoiceField,
    serializers.DateTimeField,
    serializers.FloatField,
    serializers.IntegerField,
    serializers.JSONField,
    serializers.SlugField,
}
# What these show depends on nothing but the value.
_PURE = (_AS_IT_STANDS - _RELATED) | {serializers.DecimalField}


class Shown(NamedTuple):
    """One field of a row: its name, where the row has it, and how it is shown where that is not as it stands."""

    name: str
    source: str
    convert: Convert | None


def write_rows(serializer: type[Serializer], rows: Iterable[Model], shape: Shape) -> list[dict[str, Any]] | None:
    """Return what a serializer shows of rows; None where only the serializer itself can tell."""
    if shape.expand or (fields := _fields(serializer)) is None:
        return None
    fields = [field for field in fields if shape.shows(field.name)]
    names = [field.name for field in fields]
    # Of a single name it would return no tuple; what the names have no place for is dropped.
    read = attrgetter(*(field.source for field in fields), "pk")
    written = [dict(zip(names, read(row), strict=False)) for row in rows]
    for name, convert in ((field.name, field.convert) for field in fields if field.convert):
        for row in written:
            if row[name] is not None:
                row[name] = convert(row[name])
    return written


@functools.cache
def _fields(serializer: type[Serializer]) -> list[Shown] | None:
    if serializer.to_representation is not serializers.Serializer.to_representation:
        return None
    model: type[Model] = serializer.Meta.model  # type: ignore[attr-defined]
    columns = {name: field.attname for field in model._meta.concrete_fields for name in (field.name, field.attname)}
    shown = [_shown(field, columns, model) for field in serializer().fields.values() if not field.write_only]
    return None if None in shown else shown  # type: ignore[return-value]  (mypy does not see that there is no None)


def _shown(field: Field[Any, Any, Any, Any], columns: Mapping[str, str], model: type[Model]) -> Shown | None:
    name, source = str(field.field_name), str(field.source)
    if type(field) in _AS_IT_STANDS and source in columns:
        return Shown(name, columns[source], None)
    convert = _converter(field)
    return Shown(name, source, convert) if convert and _is_always_there(source, model) else None


def _converter(field: Any) -> Convert | None:
    """Return what a field makes of a value other than None; None where that depends on more than the value."""
    if isinstance(field, serializers.Serializer):
        return _nested(field)
    is_pure = type(field) in _PURE or (type(field) is serializers.ListField and type(field.child) in _PURE)
    return field.to_representation if is_pure else None


def _nested(serializer: Serializer) -> Convert | None:
    """Return how an object of JSON is shown whose keys may all be missing."""
    converters = {name: _converter(field) for name, field in serializer.fields.items()}
    if not all(converters.values()) or not all(field.allow_null for field in serializer.fields.values()):
        return None
    return lambda value: {name: None if value.get(name) is None else convert(value[name]) for name, convert in converters.items()}


def _is_always_there(source: str, model: type[Model]) -> bool:
    """Tell whether a row always has the source: what leads there from another row may not be empty on the way."""
    for step in source.split(".")[:-1]:
        field = model._meta.get_field(step)
        if field.null or field.related_model is None:
            return False
        model = field.related_model
    return True
