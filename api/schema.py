"""The API's description: what all operations of a kind understand and answer, said in one place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from drf_spectacular import openapi
from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.plumbing import ResolvedComponent, get_doc
from drf_spectacular.utils import Direction
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS

from api import parameters, problems, queries
from api.parameters import several
from api.responses import ETAG, HEADERS, REFUSALS, REPLAYED, TRACE, header
from api.views import Body, RowViewSet
from security import schema as _logins  # noqa: F401  (drf-spectacular finds its extensions by their being there)

_VERBS = {"retrieve": "get", "partial_update": "update", "destroy": "delete"}
# How many of the first characters of a docstring say what an operation does, in a list of all operations.
_TITLE = re.compile(r"[^.:;]+")


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


class DecimalExtension(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """Says that a body may write an amount as a text or as a number; an answer has it as a text."""

    target_class = "rest_framework.fields.DecimalField"

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        field = self.target
        sign = "" if field.min_value is not None and field.min_value >= 0 else "-?"
        whole, places = field.max_digits - field.decimal_places, field.decimal_places
        text = {"type": "string", "format": "decimal", "pattern": rf"^{sign}\d{{1,{whole}}}(\.\d{{1,{places}}})?$"}
        number = {"type": "number", "minimum": 0 if not sign else -(10**whole) + 1, "maximum": 10**whole - 1}
        return {"anyOf": [text, number]} if direction == "request" else text


class AutoSchema(openapi.AutoSchema):
    """Adds what the views do not say one by one: titles, shared parameters, headers, errors."""

    view: Any

    def get_operation_id(self) -> str:
        """Return `tasks_pause`, not `tasks_pause_create`."""
        noun, action = self._tokenize_path()[0], getattr(self.view, "action", None)
        return noun if action is None else f"{noun}_{_VERBS.get(action, action)}"

    def get_summary(self) -> str:
        """Return what an operation does, in a few words."""
        action = getattr(self.view, "action", "")
        if action in ("list", "retrieve"):
            meta = self.view.queryset.model._meta
            return f"List {meta.verbose_name_plural}" if action == "list" else f"Show one {meta.verbose_name}"
        doc = get_doc(getattr(self.view, action or self.method.lower()))
        return _TITLE.match(" ".join(doc.split()))[0]  # type: ignore[index]  # a test wants every operation to say it

    def get_operation(self, *args: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args)
        if operation is not None and (shared := list(self._shared_parameters())):
            operation["parameters"] = [*shared, *operation.get("parameters", [])]
        return operation

    def _shared_parameters(self) -> Iterable[dict[str, Any]]:
        if not isinstance(self.view, RowViewSet):
            return
        if self.method == "POST":
            yield self._component("parameters", "IdempotencyKey", parameters.KEY)
        if self._is_locked():
            yield self._component("parameters", "IfMatch", parameters.IF_MATCH)
        if self.view.shows_rows():
            yield from self._shape(self.view)

    def _shape(self, view: Any) -> Iterable[dict[str, Any]]:
        row = view.get_serializer_class()()
        noun = self._get_serializer_name(row, "response")
        yield self._component(
            "parameters", f"{noun}Fields", several(queries.FIELDS, parameters.FIELDS, list(row.fields))
        )
        if view.expandable:
            yield self._component(
                "parameters", f"{noun}Expand", several(queries.EXPAND, parameters.EXPAND, list(view.expandable))
            )

    def _component(self, kind: str, name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return a reference to what is described once."""
        component = ResolvedComponent(name, kind, schema, object=name)  # type: ignore[no-untyped-call]
        self.registry.register_on_missing(component)
        reference: dict[str, Any] = component.ref
        return reference

    def _get_response_headers_for_code(self, status_code: str, direction: str = "response") -> dict[str, Any]:
        if direction != "response":
            return {}
        names = [TRACE]
        if self._shows_one():
            names.append(ETAG)
        if isinstance(self.view, RowViewSet) and self.method == "POST":
            names.append(REPLAYED)
        return {name: header(name) for name in names}

    def _get_response_bodies(self, direction: Direction = "response") -> dict[str, Any]:
        responses: dict[str, Any] = super()._get_response_bodies(direction)
        for code, response in responses.items():
            response["description"] = response["description"] or HTTPStatus(int(code)).phrase
        refused = [status for status in REFUSALS if str(int(status)) in responses or self._may_be(status)]
        return responses | {str(int(status)): self._refusal(status) for status in refused}

    def _refusal(self, status: HTTPStatus) -> dict[str, Any]:
        for name, described in HEADERS.items():
            self._component("headers", name, described)
        self.resolve_serializer(ProblemSerializer, "response")
        return self._component("responses", REFUSALS[status].name, REFUSALS[status].component(status))

    def _may_be(self, status: HTTPStatus) -> bool:
        """Tell whether the operation can be refused so."""
        is_change = self.method not in SAFE_METHODS
        possible = {
            HTTPStatus.NOT_FOUND: "{" in self.path,
            HTTPStatus.CONFLICT: is_change,
            HTTPStatus.PRECONDITION_FAILED: self._is_locked(),
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE: self._reads_body(),
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE: self._reads_body(),
            HTTPStatus.UNPROCESSABLE_ENTITY: isinstance(self.view, RowViewSet) and self.method == "POST",
        }
        return possible.get(status, True)

    def _reads_body(self) -> bool:
        return self.method in ("POST", "PATCH")

    def _is_locked(self) -> bool:
        """Tell whether the operation changes one row that has a version."""
        return self.method not in SAFE_METHODS and bool(getattr(self.view, "detail", False)) and self._has_version()

    def _shows_one(self) -> bool:
        return self._has_version() and self.view.shows_rows() and self.view.action != "list"

    def _has_version(self) -> bool:
        rows = getattr(self.view, "queryset", None)
        return rows is not None and any(field.name == "version" for field in rows.model._meta.fields)

    def _map_serializer_field(self, field: Any, direction: str, bypass_extensions: bool = False) -> dict[str, Any]:
        schema: dict[str, Any] = super()._map_serializer_field(field, direction, bypass_extensions)  # type: ignore[no-untyped-call]
        if isinstance(field, serializers.ListSerializer):
            rows: Any = field
            bounds = {"minItems": 0 if rows.allow_empty else 1, "maxItems": rows.max_length}
            schema |= {name: bound for name, bound in bounds.items() if bound}
        return schema

    def _map_basic_serializer(self, serializer: Any, direction: Direction) -> dict[str, Any]:
        schema: dict[str, Any] = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        if direction == "response" and isinstance(serializer, serializers.ModelSerializer):
            properties = schema["properties"]
            # A row has all its columns, also those that a request may leave out.
            schema["required"] = sorted(name for name, each in properties.items() if not each.get("writeOnly"))
            for name, whole in _expandable(type(serializer)).items():
                properties[name] = {"oneOf": [properties[name], self.resolve_serializer(whole, direction).ref]}
        return schema


def _expandable(row: type[serializers.BaseSerializer[Any]]) -> Mapping[str, Body]:
    """Return which ids of a row `?expand=` may replace, wherever the row is described first."""
    views = [view for view in _all_views(RowViewSet) if getattr(view, "serializer_class", None) is row]
    return views[0].expandable if views else {}


def _all_views(view: type[RowViewSet[Any]]) -> list[type[RowViewSet[Any]]]:
    below = view.__subclasses__()
    return [*below, *(further for sub in below for further in _all_views(sub))]


def link_what_is_made(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Say of each answer that shows a new row which operations its id is for."""
    for path, operations in result["paths"].items():
        created = operations.get("post", {}).get("responses", {}).get("201")
        further = [found for other, found in result["paths"].items() if other.startswith(f"{path}/{{id}}")]
        if created is not None and further and "id" in _names_shown(created, result["components"]["schemas"]):
            names = [operation["operationId"] for found in further for operation in found.values()]
            created["links"] = {
                name: {"operationId": name, "parameters": {"id": "$response.body#/id"}} for name in names
            }
    return result


def _names_shown(answer: dict[str, Any], schemas: dict[str, Any]) -> set[str]:
    """Return the names that the JSON of an answer has."""
    schema = answer["content"]["application/json"]["schema"]
    return set(schemas[schema["$ref"].rpartition("/")[2]]["properties"]) if "$ref" in schema else set()
