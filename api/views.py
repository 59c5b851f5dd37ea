"""What every endpoint over rows shares."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar, TypeVar, cast

from django.db import DatabaseError
from django.db.models import Model, QuerySet
from django.db.models.expressions import BaseExpression
from django.http import Http404
from django.shortcuts import get_object_or_404
from django_filters import CharFilter, Filter, MultipleChoiceFilter  # type: ignore[import-untyped]
from rest_framework import mixins, serializers
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from api import idempotency, queries, versions
from api.bodies import validated
from api.queries import Shape
from api.rows import Rows
from security.access import projects_of, visible

M = TypeVar("M", bound=Model)
Body = type[serializers.Serializer[Any]]


class RowViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[M]):
    """Rows of one kind: listed and read here; what changes them is for the subclass, and for the services it calls.

    Shows only rows of projects one may see. Every POST takes an Idempotency-Key, every change an If-Match.
    """

    http_method_names = ("get", "head", "post", "patch", "delete")
    project_path: ClassVar[str | Sequence[str]] = "project"
    """Where the project of a row is; of several paths, one leads to it."""
    expandable: ClassVar[Mapping[str, Body]] = {}
    """What `?expand=` may put in the place of an id, and how it is shown."""
    reads: ClassVar[Mapping[str, BaseExpression]] = {}
    """What has to be read besides the columns of the row, by the field that shows it."""
    apart: ClassVar[Mapping[str, Body | None]] = {}
    """Actions whose answers show no rows of this kind, and what their query may hold."""
    shape = Shape()
    """How the request wants rows to be shown."""
    rows: QuerySet[Any] | None = None
    """The rows with all that is shown of them; None while they are not to be shown."""
    fast: Rows | None = None
    """How the rows are read as values and shown; None where they are models, and shown by their serializer."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if (request.method or "").lower() not in self.action_map:
            # DRF says next that the method is not known here.
            return
        queries.refuse_unknown(request, self._parameters(), repeatable=self._repeatable(), texts=self._texts())
        if self.shows_rows():
            # Before anything is carried out: a command must not be answered with a mistake in its query.
            self.shape = Shape.of(request, self.get_serializer_class(), self.expandable)
            if request.method in SAFE_METHODS:
                self._begin_to_show()
        if request.method == "POST" and idempotency.HEADER in request.headers:
            self._answer_once()
        elif request.method == "POST":
            self.prepare(request)

    def prepare(self, request: Request) -> None:
        """Do what a POST needs and may take long: it writes nothing, and no transaction has begun yet."""

    def get_queryset(self) -> QuerySet[M]:
        """Return the rows one may see; where they are only read, with all that is shown of them."""
        return visible(self.all_rows(), self.project_path, projects_of(self.request))

    def all_rows(self) -> QuerySet[M]:
        """Return the rows, whoever asks."""
        return super().get_queryset() if self.rows is None else self.rows.all()

    def get_object(self) -> M:
        """Return the row that the address names. Python would read other digits than ours as well, and spaces around them."""
        if not (self.kwargs["pk"].isascii() and self.kwargs["pk"].isdecimal()):
            raise Http404
        return super().get_object()

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Filters are for lists: a row that is asked for by its id is shown whatever it is."""
        return super().filter_queryset(queryset) if self.action == "list" else queryset

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        """Return the serializer of rows, with the fields that the query asks for."""
        serializer = super().get_serializer(*args, **kwargs)
        row: Any = getattr(serializer, "child", serializer)
        self.shape.apply(row, self.expandable)
        return serializer

    def body(self, serializer: Body, *, partial: bool = False) -> dict[str, Any]:
        """Return the fields of the request's body. Raises ValidationError."""
        return validated(serializer, self.request.data, partial=partial, context=self.get_serializer_context())

    def changes(self, row: M, serializer: Body) -> dict[str, Any]:
        """Return the fields to change, with the version they were made for, where the body or If-Match says so."""
        return versions.expected(self.request, row, self.body(serializer, partial=self.request.method == "PATCH"))

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response(self._show(page))

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._answer(self.get_object())

    def answer(self, row: M, code: int = HTTPStatus.OK) -> Response:
        """Show a row as it is now."""
        self._begin_to_show()
        return self._answer(get_object_or_404(self.get_queryset(), pk=row.pk), code)

    def _answer(self, row: Any, code: int = HTTPStatus.OK) -> Response:
        return Response(self._show([row])[0], status=code, headers=versions.headers(row))

    def _begin_to_show(self) -> None:
        """Have all that is shown of the rows read with them."""
        serializer: Any = self.get_serializer_class()
        self.rows = _shown(type(self), self.shape)
        self.fast = Rows.of(self.rows, serializer, self.shape, self._needed())
        if self.fast is not None:
            self.rows = self.fast.values

    def _show(self, rows: Sequence[Any]) -> Sequence[Any]:
        return self.get_serializer(rows, many=True).data if self.fast is None else self.fast.show(rows)

    def _needed(self) -> tuple[str, ...]:
        """Return what has to be read, shown or not: cursors are made of the order's columns, and an ETag of the version."""
        view: Any = self
        version = ["version"] if hasattr(view.queryset.model, "version") else []
        return ("id", *version, *(name.lstrip("-") for name in view.ordering), *view.ordering_fields)

    def kept(self, body: Any) -> Any:
        """Return what of an answer may be stored for those who send a request again."""
        return body

    def _answer_once(self) -> None:
        """Put a handler in the place of the real one, which DRF looks up when `initial` is done."""
        handler = getattr(self, "post", self.http_method_not_allowed)

        def post(request: Request, *args: Any, **kwargs: Any) -> Response:
            prepare = functools.partial(self.prepare, request)
            respond = functools.partial(self._respond, handler, request, *args, **kwargs)
            return idempotency.once(request, prepare, respond, self.kept)

        self.post = post

    def _respond(self, handler: Callable[..., Response], request: Request, *args: Any, **kwargs: Any) -> Response:
        try:
            return handler(request, *args, **kwargs)
        except Exception as raised:
            answer = self.handle_exception(raised)
            if isinstance(raised, DatabaseError):
                # The transaction may be broken; nothing can be kept in it.
                raise idempotency.NotStored(answer) from raised
            return answer

    def _parameters(self) -> Sequence[str]:
        if self.action in self.apart:
            query = self.apart[self.action]
            return list(query().fields) if query else []
        if self.action == "list":
            return [*queries.SHAPE, *queries.PAGE, *self._filters()]
        return list(queries.SHAPE) if self.shows_rows() else []

    def _repeatable(self) -> Sequence[str]:
        return [name for name, found in self._filters().items() if isinstance(found, MultipleChoiceFilter)]

    def _texts(self) -> Sequence[str]:
        return [name for name, found in self._filters().items() if isinstance(found, CharFilter)]

    def _filters(self) -> Mapping[str, Filter]:
        filterset: Any = getattr(self, "filterset_class", None)
        return filterset.base_filters if filterset else {}

    def shows_rows(self) -> bool:
        """Tell whether the action answers with rows of this kind."""
        return self.action not in self.apart and self.action != "destroy"


@functools.lru_cache(maxsize=256)
def _shown(view: type[RowViewSet[Any]], shape: Shape) -> QuerySet[Any]:
    """Return the rows of a view with all that is shown of them. Kept: to put a query together takes longer than to run it."""
    reads = {field: read for field, read in view.reads.items() if shape.shows(field)}
    rows: QuerySet[Any] = cast(Any, view).queryset.annotate(**reads)
    return rows.select_related(*shape.expand) if shape.expand else rows
