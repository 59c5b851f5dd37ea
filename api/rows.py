"""The rows of a list, fast: read as plain values and shown as a serializer would show them.

What that takes is worked out once for each class of serializers. A column holds what its type says, and what is read
besides was made to be shown: both are shown as they stand; other values are converted by the serializer's own field.
A serializer with a field that needs the row itself, such as a method or a property of the model, shows its rows
itself: the same, only slower.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from django.db.models import Model, QuerySet
from rest_framework import serializers
from rest_framework.relations import PrimaryKeyRelatedField

from api.bodies import RowField
from api.queries import Shape

Serializer = type[serializers.Serializer[Any]]
Convert = Callable[[Any], Any]

# Over a column, what these show is what the column holds; times become text with the whole answer (api/renderers.py).
_AS_IT_STANDS = {
    serializers.BigIntegerField,
    serializers.BooleanField,
    serializers.CharField,
    serializers.ChoiceField,
    serializers.DateTimeField,
    serializers.FloatField,
    serializers.IntegerField,
    serializers.JSONField,
    serializers.SlugField,
    PrimaryKeyRelatedField,
    RowField,
}
# What these show, and what is derived from them, depends on nothing but the value.
_OF_A_VALUE = (
    serializers.BooleanField,
    serializers.CharField,
    serializers.ChoiceField,
    serializers.DateTimeField,
    serializers.DecimalField,
    serializers.FloatField,
    serializers.IntegerField,
)


class Shown(NamedTuple):
    """One field of a row: its name, where its value is, and how that is shown where not as it stands."""

    name: str
    source: str
    convert: Convert | None


@dataclass(frozen=True)
class Rows:
    """Reads rows as what a serializer shows of them."""

    fields: list[Shown]
    values: QuerySet[Any, dict[str, Any]]
    """The rows as values, by where they are."""

    @classmethod
    @functools.lru_cache(maxsize=256)
    def of(cls, rows: QuerySet[Any], serializer: Any, shape: Shape, also: tuple[str, ...]) -> Self | None:
        """Return how rows are read, which have all that is shown of them; `also` names columns that the page needs for itself.

        None where only the serializer can show them. Kept, since putting a query together takes longer than the database does.
        """
        fields = None if shape.expand else _fields(serializer, frozenset(rows.query.annotations))
        if fields is None:
            return None
        fields = [field for field in fields if shape.shows(field.name)]
        return cls(fields, rows.values(*dict.fromkeys([*(field.source for field in fields), *also])))

    def show(self, page: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return a page of such values as they are shown."""
        shown = [{field.name: row[field.source] for field in self.fields} for row in page]
        for field in self.fields:
            if field.convert:
                for row in shown:
                    row[field.name] = None if row[field.name] is None else field.convert(row[field.name])
        return shown


@functools.cache
def _fields(serializer: Serializer, reads: frozenset[str]) -> list[Shown] | None:
    if serializer.to_representation is not serializers.Serializer.to_representation:
        return None
    made: Any = serializer()
    model: type[Model] = made.Meta.model
    fields = []
    for field in made._readable_fields:
        source = _source(model, field.source, reads)
        as_it_stands = source in reads or _is_as_it_stands(field)
        convert = None if as_it_stands else _converter(field)
        if source is None or not (as_it_stands or convert):
            return None
        fields.append(Shown(field.field_name, source, convert))
    return fields


def _is_as_it_stands(field: Any) -> bool:
    return type(field) in _AS_IT_STANDS or (type(field) is serializers.ListField and type(field.child) in _AS_IT_STANDS)


def _source(model: type[Model], path: str, reads: Collection[str]) -> str | None:
    """Return where a query finds what is shown; None where it does not, or not in each row."""
    if path in reads:
        return path
    columns = {name: field for field in model._meta.concrete_fields for name in (field.name, field.attname)}
    first, _, rest = path.partition(".")
    first = model._meta.pk.name if first == "pk" else first
    if first not in columns:
        return None
    if not rest:
        return first
    field = columns[first]
    further = None if field.null or not field.related_model else _source(field.related_model, rest, ())
    return further and f"{first}__{further}"


def _converter(field: Any) -> Convert | None:
    """Return what a field makes of a value that is not None; None where that depends on more than the value."""
    if isinstance(field, serializers.Serializer):
        return _object(field.fields)
    return field.to_representation if isinstance(field, _OF_A_VALUE) else None


def _object(fields: Mapping[str, Any]) -> Convert | None:
    """Return how a JSON object is shown in which any key may be missing."""
    converters = {name: _converter(field) for name, field in fields.items() if field.allow_null}
    if len(converters) < len(fields) or None in converters.values():
        return None

    def convert(value: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: None if (held := value.get(name)) is None else show(held)  # type: ignore[misc]
            for name, show in converters.items()
        }

    return convert
