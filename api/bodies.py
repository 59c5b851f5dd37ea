"""What all request bodies share: nothing unknown is accepted, and no number is larger than its column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import Model, QuerySet
from drf_spectacular.extensions import OpenApiSerializerExtension
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail

from security.access import projects_of, visible

# The largest whole number that both databases keep in a column of ours.
MAX_WHOLE = 2**31 - 1
WHOLE = {"max_value": MAX_WHOLE}
_UNKNOWN = ErrorDetail("There is no such field that could be set here.", code="unknown_field")


class RowField(serializers.PrimaryKeyRelatedField[Any]):
    """The id of a row that exists, in a project one may see.

    What is no whole number, such as 1e999, is refused before the database sees it.
    """

    def __init__(self, *, project_path: str = "", **kwargs: Any) -> None:
        self._project_path = project_path
        super().__init__(**{"pk_field": serializers.IntegerField(), **kwargs})

    def get_queryset(self) -> QuerySet[Any] | None:
        rows = super().get_queryset()
        request = self.context.get("request")
        return rows if request is None or rows is None else visible(rows, self._path(rows.model), projects_of(request))

    def _path(self, model: type[Model]) -> str:
        """Return where the project of a row is: most rows have one, and a project is its own."""
        return self._project_path or ("project" if hasattr(model, "project") else "pk")


class StrictSerializer(serializers.Serializer[Any]):
    """A body in which a field that is unknown, or cannot be set, is an error: ignoring it would hide a mistake."""

    serializer_related_field: ClassVar[type[serializers.RelatedField[Any, Any, Any]]] = RowField

    def to_internal_value(self, data: Any) -> Any:
        names = data if isinstance(data, Mapping) else []
        if refused := {_shown(name): [_UNKNOWN] for name in names if not self._accepts(name)}:
            raise serializers.ValidationError(refused)
        return super().to_internal_value(data)

    def _accepts(self, name: str) -> bool:
        return name in self.fields and not self.fields[name].read_only


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
    body = serializer(data=data, partial=partial, context=context or {})
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)


def _shown(name: str) -> str:
    """Return a name from outside as an answer may repeat it in a JSON pointer: not too long, and only what UTF-8 holds."""
    return name[:100].encode(errors="replace").decode().replace("~", "~0").replace("/", "~1")
