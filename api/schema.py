"""How the API's description tells of errors: one shape for all of them."""

from __future__ import annotations

from typing import Any

from django.db.models import TextChoices
from drf_standardized_errors import openapi
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS


class ErrorType(TextChoices):
    VALIDATION = "validation_error"
    CLIENT = "client_error"
    SERVER = "server_error"


class ErrorDetailSerializer(serializers.Serializer[Any]):
    """What was wrong."""

    code = serializers.CharField(help_text="Stable; for programs.")
    detail = serializers.CharField(help_text="For people.")
    attr = serializers.CharField(allow_null=True, help_text="The field it is about.")


class ErrorSerializer(serializers.Serializer[Any]):
    """The body of every answer with a status of 400 or more."""

    type = serializers.ChoiceField(choices=ErrorType.choices)
    trace_id = serializers.CharField(help_text="Joins the request, its log lines and its events.")

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        # As attributes, these two would hide the serializer's own.
        fields["errors"] = ErrorDetailSerializer(many=True)
        fields["data"] = serializers.DictField(
            required=False, help_text="What the error is about, such as the present `status` or `version`."
        )
        return fields


class AutoSchema(openapi.AutoSchema):
    """Adds to each operation the errors it may answer with."""

    def _should_add_error_response(self, responses: dict[str, Any], status_code: str) -> bool:
        if status_code in ("409", "413"):
            return self.method not in SAFE_METHODS and status_code not in responses
        if status_code == "400" and self._is_list_view():
            # A cursor or a limit that is none.
            return status_code not in responses
        return bool(super()._should_add_error_response(responses, status_code))

    def _get_error_response_examples(self) -> list[Any]:
        """Leave the package's examples out: they show its own shape."""
        return []
