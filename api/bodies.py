"""What all request bodies share: nothing unknown is accepted, and no number is larger than its column."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model, QuerySet
from drf_spectacular.extensions import OpenApiSerializerExtension
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail
from rest_framework.utils.html import is_html_input

from api.examples import shown
from api.filters import MAX_ID
from security.access import projects_of, visible

# The largest whole number that both databases keep in a column of ours.
MAX_WHOLE = 2**31 - 1
WHOLE = {"max_value": MAX_WHOLE}
_IDS: serializers.ListField = serializers.ListField(child=serializers.IntegerField())
# What JSON calls a value of such a field; DRF would also read a number written as a text, and the other way round.
_TYPES: Mapping[type[serializers.Field[Any, Any, Any, Any]], tuple[type, ...]] = {
    serializers.BooleanField: (bool,),
    serializers.IntegerField: (int,),
    serializers.FloatField: (int, float),
    serializers.DecimalField: (int, float, str),
    serializers.CharField: (str,),
}
# An amount that is a text. DRF would take an empty one for null, and read 1e3 and NaN.
_AMOUNT = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_NO_OBJECT = "A JSON object is expected here."
_UNKNOWN = ErrorDetail("There is no such field that could be set here.", code="unknown_field")


class RowField(serializers.PrimaryKeyRelatedField[Any]):
    """The id of a row that exists, in a project one may see.

    What is no whole number, such as 1e999, is refused before the database sees it.
    """

    default_error_messages: ClassVar[dict[str, Any]] = {"does_not_exist": "There is none with the id {pk_value}."}

    @classmethod
    def many_init(cls, *, queryset: QuerySet[Any], **kwargs: Any) -> RowsField:
        return RowsField(cls(queryset=queryset), **kwargs)

    def __init__(self, *, project_path: str = "", **kwargs: Any) -> None:
        self._project_path = project_path
        super().__init__(**{"pk_field": serializers.IntegerField(), **kwargs})

    def get_queryset(self) -> QuerySet[Any] | None:
        rows = super().get_queryset()
        request = self.context.get("request")
        return rows if request is None or rows is None else visible(rows, self._path(rows.model), projects_of(request))

    def _path(self, model: type[Model]) -> str:
        """Return where the project of a row is: most rows have one, and a project is its own. Any other has to be told."""
        if not self._project_path and not hasattr(model, "project") and model._meta.model_name != "project":
            raise ImproperlyConfigured(f"{model.__name__} has no project; say with project_path where it is.")
        return self._project_path or ("project" if hasattr(model, "project") else "pk")


class RowsField(serializers.ManyRelatedField):
    """The ids of rows, found in one query; each that is none is refused by its place in the list."""

    child_relation: RowField

    def to_internal_value(self, data: Any) -> list[Any]:
        ids = _IDS.run_validation(data)
        rows: Any = self.child_relation.get_queryset()
        found = rows.in_bulk({id_ for id_ in ids if 0 < id_ <= MAX_ID})
        unknown: dict[Any, Any] = {place: self._unknown(id_) for place, id_ in enumerate(ids) if id_ not in found}
        if unknown:
            raise serializers.ValidationError(unknown)
        return [found[id_] for id_ in ids]

    def _unknown(self, id_: int) -> list[ErrorDetail]:
        message = self.child_relation.error_messages["does_not_exist"]
        return [ErrorDetail(message.format(pk_value=id_), "does_not_exist")]


class StrictSerializer(serializers.Serializer[Any]):
    """A body in which a field that is unknown, or cannot be set, is an error: ignoring it would hide a mistake.

    So is a value of another JSON type. A query, which is all text, is not looked at so closely.
    """

    serializer_related_field: ClassVar[type[serializers.RelatedField[Any, Any, Any]]] = RowField
    default_error_messages: ClassVar[dict[str, Any]] = {"invalid": _NO_OBJECT}

    def to_internal_value(self, data: Any) -> Any:
        names = data if isinstance(data, Mapping) else []
        if refused := {name: [_UNKNOWN] for name in names if not self._accepts(name)}:
            raise serializers.ValidationError(refused)
        typed = [] if is_html_input(data) else names
        if mistyped := {name: found for name in typed if (found := _mistyped(self.fields[name], data[name]))}:
            raise serializers.ValidationError(mistyped)
        return super().to_internal_value(data)

    def _accepts(self, name: str) -> bool:
        return name in self.fields and not self.fields[name].read_only


def _mistyped(field: Any, value: Any) -> Any:
    """Return what is said of values of another JSON type, or none of the choices, in the shape of DRF's errors."""
    child = getattr(field, "child", None) or getattr(field, "child_relation", None)
    if child is not None and isinstance(value, list | dict):
        inner = enumerate(value) if isinstance(value, list) else value.items()
        return {place: found for place, each in inner if (found := _mistyped(child, each))}
    if value is None:
        return None
    choices = (
        f" Choose from {', '.join(map(str, field.choices))}." if isinstance(field, serializers.ChoiceField) else ""
    )
    if not _is_typed(field, value):
        return [ErrorDetail(field.error_messages.get("invalid") or f"Not a valid value.{choices}", "invalid")]
    if choices and value not in field.choices and not (value == "" and field.allow_blank):
        return [ErrorDetail(f'"{str(value)[:100]}" is not a valid choice.{choices}', "invalid_choice")]
    return None


def _is_typed(field: Any, value: Any) -> bool:
    if isinstance(field, serializers.DecimalField) and isinstance(value, str):
        return _AMOUNT.fullmatch(value) is not None
    types = _types_of(field)
    return not types or (isinstance(value, types) and (bool in types or not isinstance(value, bool)))


def _types_of(field: Any) -> tuple[type, ...]:
    if isinstance(field, RowField):
        return (int,)
    if isinstance(field, serializers.ChoiceField):
        return tuple({type(choice) for choice in field.choices})
    return next((types for kind, types in _TYPES.items() if isinstance(field, kind)), ())


@shown(request={"expected_version": 4})
class VersionedSerializer(StrictSerializer):
    """A body that may say which version of the row it was made for."""

    expected_version = serializers.IntegerField(
        required=False,
        write_only=True,
        min_value=1,
        max_value=MAX_WHOLE,
        help_text="The version that was read; if the row has another one now, the answer is 409.",
    )


class StrictExtension(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Say in the schema that a body holds nothing else."""

    target_class = StrictSerializer
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        schema: dict[str, Any] = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return schema | {"additionalProperties": False} if direction == "request" else schema


def validated(
    serializer: type[serializers.Serializer[Any]], data: Any, *, partial: bool = False, context: Any = None
) -> dict[str, Any]:
    """Return the fields of a body or a query. Raises ValidationError."""
    if data is None:
        raise serializers.ValidationError([ErrorDetail(_NO_OBJECT, code="null")])
    body = serializer(data=data, partial=partial, context=context or {})
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)
