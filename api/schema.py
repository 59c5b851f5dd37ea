"""The API's description: errors as problem details, and the parameters and headers that many operations share."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from drf_standardized_errors import openapi
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS

from api import idempotency, problems
from api.views import RowViewSet

_FIELDS = OpenApiParameter(
    "fields", OpenApiTypes.STR, description="Only these fields, separated by commas; all others are left out."
)
_KEY = OpenApiParameter(
    idempotency.HEADER,
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="1 to 255 printable ASCII characters. Sent again with the same body within a day, the request is not "
    "carried out again: the first answer comes back, with `Idempotency-Replayed: true`.",
)
_IF_MATCH = OpenApiParameter(
    "If-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description='The ETag that was read, such as `"4"`; if the row has another one now, the answer is 412.',
)
_ETAG = OpenApiParameter(
    "ETag", OpenApiTypes.STR, OpenApiParameter.HEADER, description="The row's `version`, quoted.", response=[200, 201]
)
_REPLAYED = OpenApiParameter(
    idempotency.REPLAYED,
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="`true` where the answer is the stored one.",
    response=True,
)
# Statuses that only a change can have.
_OF_CHANGES = {"409", "413"}


class FaultSerializer(serializers.Serializer[Any]):
    """One thing that was wrong."""

    code = serializers.CharField(help_text="Stable; for programs. docs/errors.md lists them.")
    detail = serializers.CharField(help_text="For people.")
    pointer = serializers.CharField(required=False, help_text="Where in the body: a JSON pointer.")
    parameter = serializers.CharField(required=False, help_text="Which parameter of the query.")


class ProblemSerializer(serializers.Serializer[Any]):
    """The body of every answer with a status of 400 or more (RFC 9457)."""

    type = serializers.CharField(help_text=f"`{problems.TYPE}` and the code.")
    title = serializers.CharField(help_text="What the status means.")
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="Of the error if it is one, else `invalid_request`.")
    detail = serializers.CharField(help_text="What happened, and what to do.")
    instance = serializers.CharField(help_text="The address that was asked.")
    trace_id = serializers.CharField(help_text="Joins the request, its log lines and its events.")

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        # As attributes, these two would hide the serializer's own.
        fields["errors"] = FaultSerializer(many=True)
        fields["data"] = serializers.DictField(
            required=False, help_text="What the error is about, such as the present `status` or `version`."
        )
        return fields


class AutoSchema(openapi.AutoSchema):
    """Adds to each operation the errors it may answer with, and what all operations of its kind understand."""

    def get_override_parameters(self) -> list[Any]:
        if not isinstance(self.view, RowViewSet):
            return []
        return [*self._shape(), *self._headers()]

    def _shape(self) -> list[OpenApiParameter]:
        if not self.view.shows_rows():
            return []
        expandable = ", ".join(f"`{name}`" for name in self.view.expandable)
        told = f"Show these whole in place of their ids, separated by commas: {expandable}."
        return [_FIELDS, *([OpenApiParameter("expand", OpenApiTypes.STR, description=told)] if expandable else [])]

    def _headers(self) -> list[OpenApiParameter]:
        headers = []
        if self.method == "POST":
            headers += [_KEY, _REPLAYED]
        if self._is_locked():
            headers += [_IF_MATCH]
        if self._shows_one():
            headers += [_ETAG]
        return headers

    def _is_locked(self) -> bool:
        """Tell whether the operation changes one row that has a version."""
        return self.method not in SAFE_METHODS and bool(self.view.detail) and self._has_version()

    def _shows_one(self) -> bool:
        return self._has_version() and self.view.shows_rows() and self.view.action != "list"

    def _has_version(self) -> bool:
        return any(field.name == "version" for field in self.view.queryset.model._meta.fields)

    def _should_add_error_response(self, responses: dict[str, Any], status_code: str) -> bool:
        if status_code in responses:
            return False
        if status_code in _OF_CHANGES:
            return self.method not in SAFE_METHODS
        if status_code == "412":
            return isinstance(self.view, RowViewSet) and self._is_locked()
        if status_code == "422":
            return isinstance(self.view, RowViewSet) and self.method == "POST"
        if status_code == "400":
            # A parameter that is unknown, a cursor or a limit that is none.
            return True
        return bool(super()._should_add_error_response(responses, status_code))

    def _get_response_for_code(self, serializer: Any, status_code: str, *args: Any, **kwargs: Any) -> Any:
        response = super()._get_response_for_code(serializer, status_code, *args, **kwargs)
        if int(status_code) >= 400 and (content := response.get("content")):
            response["content"] = {problems.MEDIA_TYPE: next(iter(content.values()))}
        return response

    def _get_error_response_examples(self) -> list[Any]:
        """Leave the package's examples out: they show its own shape."""
        return []
