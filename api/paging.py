"""Pages that follow a cursor: the values of the row a page ends with, in the order asked for.

DRF's own cursor counts rows with equal values and gives up at a thousand, and it cannot follow an empty value. This
one adds the id to every order, so that no two rows are equal, and puts empty values last on both databases.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import F, Model, Q, QuerySet
from django.db.models.expressions import OrderBy
from rest_framework.exceptions import ValidationError as BadQuery
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView


class Term(NamedTuple):
    """One field of an order."""

    name: str
    is_descending: bool
    is_nullable: bool


class Position(NamedTuple):
    """Where a page begins: behind (or, going back, before) the row with these values."""

    is_back: bool
    values: list[Any]


class CursorPage(CursorPagination):
    """A page of a list. `limit` says how long it may be, `cursor` where it begins."""

    ordering = "-id"
    page_size_query_param = "limit"
    max_page_size = 200

    def paginate_queryset(  # type: ignore[override]
        self, queryset: QuerySet[Any], request: Request, view: APIView
    ) -> list[Any]:
        self.base_url = request.build_absolute_uri()
        self.terms = _terms(queryset, self.get_ordering(request, queryset, view))
        size = self.get_page_size(request) or self.max_page_size
        position = self._position(request)
        is_back = position is not None and position.is_back
        rows = self._rows(queryset, position, size + 1)
        page = rows[:size]
        self.rows = page[::-1] if is_back else page
        has_more = len(rows) > size
        self.has_next = bool(page) and (has_more or is_back)
        self.has_previous = bool(page) and (has_more if is_back else position is not None)
        return self.rows

    def get_page_size(self, request: Request) -> int | None:
        given = request.query_params.get("limit")
        if given is None:
            return self.page_size
        if not (given.isascii() and given.isdecimal() and int(given[:9]) > 0):
            raise BadQuery({"limit": ["A whole number from 1 is accepted; more than 200 means 200."]})
        return min(int(given[:9]), self.max_page_size)

    def get_next_link(self) -> str | None:
        return self._link(self.rows[-1], is_back=False) if self.has_next else None

    def get_previous_link(self) -> str | None:
        return self._link(self.rows[0], is_back=True) if self.has_previous else None

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        return [
            _parameter(
                "cursor",
                "Where the page begins: take the whole address from `next` or `previous`.",
                "string",
                pattern="^[A-Za-z0-9_-]+=*$",
            ),
            _parameter("limit", "How many rows at most; more than 200 means 200.", "integer", minimum=1),
        ]

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        address = {"type": ["string", "null"], "format": "uri"}
        further = "https://bees.example.org/api/v1/…?cursor=WzAsMTJd"
        properties = {
            "next": address | {"description": "The page behind this one.", "example": further},
            "previous": address | {"description": "The page before this one.", "example": None},
            "results": schema,
        }
        return {"type": "object", "properties": properties, "required": list(properties)}

    def _rows(self, queryset: QuerySet[Any], position: Position | None, count: int) -> list[Any]:
        is_back = position is not None and position.is_back
        queryset = queryset.order_by(*(_order(term, is_back=is_back) for term in self.terms))
        stretches = [Q()] if position is None else _beyond(self.terms, position)
        rows: list[Any] = []
        try:
            # Each in a query of its own, which an index answers however deep the page is; most pages are filled by the first.
            for stretch in stretches:
                rows += queryset.filter(stretch)[: count - len(rows)]
                if len(rows) == count:
                    break
        except (ValueError, TypeError, OverflowError, ValidationError):
            # A cursor made up, or one of another order.
            raise _bad_cursor() from None
        return rows

    def _position(self, request: Request) -> Position | None:
        given = request.query_params.get(self.cursor_query_param)
        if given is None:
            return None
        try:
            is_back, *values = json.loads(base64.urlsafe_b64decode(given.encode("ascii")))
        except (ValueError, TypeError, RecursionError):
            raise _bad_cursor() from None
        if len(values) != len(self.terms) or any(isinstance(value, list | dict | float) for value in values):
            raise _bad_cursor()
        return Position(bool(is_back), values)

    def _link(self, row: Any, *, is_back: bool) -> str:
        values = [_plain(_value(row, term.name)) for term in self.terms]
        text = json.dumps([int(is_back), *values], separators=(",", ":"))
        cursor = base64.urlsafe_b64encode(text.encode()).decode()
        return replace_query_param(self.base_url or "", self.cursor_query_param, cursor)


def _parameter(name: str, description: str, type_: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": {"type": type_, **schema}}


def _terms(queryset: QuerySet[Any], ordering: Sequence[str]) -> list[Term]:
    terms = [Term(name.lstrip("-"), name.startswith("-"), _is_nullable(queryset.model, name)) for name in ordering]
    if any(term.name in ("id", "pk") for term in terms):
        return terms
    # In the direction of the rest, so that an index that ends in the id gives the order.
    return [*terms, Term("id", terms[-1].is_descending, False)]


def _is_nullable(model: type[Model], name: str) -> bool:
    try:
        return bool(getattr(model._meta.get_field(name.lstrip("-")), "null", True))
    except FieldDoesNotExist:
        return name.lstrip("-") != "pk"


def _order(term: Term, *, is_back: bool) -> OrderBy:
    """Return the order of one field: empty values come last, and first on the way back."""
    is_descending = term.is_descending != is_back
    nulls: dict[str, Any] = {} if not term.is_nullable else {"nulls_first" if is_back else "nulls_last": True}
    return F(term.name).desc(**nulls) if is_descending else F(term.name).asc(**nulls)


def _beyond(terms: list[Term], position: Position) -> list[Q]:
    """Return what lies beyond the position, the nearest first: what is equal in all fields but the last, in all but two, ..."""
    found = []
    equal = Q()
    for term, value in zip(terms, position.values, strict=True):
        further = _further(term, value, is_back=position.is_back)
        if further is not None:
            found.append(equal & further)
        equal &= Q(**{f"{term.name}__isnull": True}) if value is None else Q(**{term.name: value})
    return found[::-1]


def _further(term: Term, value: Any, *, is_back: bool) -> Q | None:
    if value is None:
        # Empty values come last: nothing lies behind them, all others before them.
        return Q(**{f"{term.name}__isnull": False}) if is_back else None
    lookup = "lt" if term.is_descending != is_back else "gt"
    beyond = Q(**{f"{term.name}__{lookup}": value})
    return beyond | Q(**{f"{term.name}__isnull": True}) if term.is_nullable and not is_back else beyond


def _value(row: Any, name: str) -> Any:
    for part in name.split("__"):
        row = None if row is None else row[part] if isinstance(row, dict) else getattr(row, part)
    return row


def _plain(value: Any) -> str | int | bool | None:
    if value is None or isinstance(value, str | int):
        return value
    # str() of a time would do too, but its form is not promised.
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def _bad_cursor() -> BadQuery:
    return BadQuery({"cursor": ["The cursor is not one of this list and order. Begin without one."]})
