"""What the query of an address may ask: an order, filters, fewer fields, whole rows in place of ids. A name that means nothing is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from django.db.models import QuerySet
from rest_framework import filters, serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

FIELDS, EXPAND = "fields", "expand"
# Every answer that shows rows understands these.
SHAPE = frozenset({FIELDS, EXPAND})
PAGE = frozenset({"limit", "cursor", "ordering"})


class BadQuery(ValidationError):
    """Something in the query of the address, not in the body."""

    def __init__(self, name: str, message: str, code: str = "invalid") -> None:
        super().__init__({name: [ErrorDetail(message, code)]})


def refuse_unknown(request: Request, known: Iterable[str]) -> None:
    """Refuse what would be ignored: a misspelt filter would show everything. Raises BadQuery."""
    accepted = sorted(known)
    for name in request.query_params:
        if name not in accepted:
            told = f"There is no such parameter; there are: {', '.join(accepted)}." if accepted else "None is accepted."
            raise BadQuery(name[:100].encode(errors="replace").decode(), told, "unknown_parameter")


class OrderingFilter(filters.OrderingFilter):
    """Orders by what the view allows, and refuses anything else."""

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: APIView) -> Any:
        given = request.query_params.get(self.ordering_param)
        if given is None:
            return self.get_default_ordering(view)
        terms = [term.strip() for term in given.split(",")]
        allowed = [name for name, _ in self.get_valid_fields(queryset, view, {"request": request})]
        if any(term.removeprefix("-") not in allowed for term in terms):
            raise BadQuery(self.ordering_param, f"Choose from {', '.join(allowed)}, each with or without a minus.")
        return terms


@dataclass(frozen=True)
class Shape:
    """How rows are shown: with which fields (None: all), and which ids are replaced by what they stand for."""

    fields: frozenset[str] | None
    expand: tuple[str, ...]

    @classmethod
    def of(cls, request: Request, names: Iterable[str], expandable: Iterable[str]) -> Self:
        """Return what a request asks for. Raises BadQuery for a name the row does not have."""
        fields = _chosen(request, FIELDS, names)
        return cls(None if fields is None else frozenset(fields), tuple(_chosen(request, EXPAND, expandable) or ()))

    def apply(
        self, row: serializers.Serializer[Any], expandable: Mapping[str, type[serializers.Serializer[Any]]]
    ) -> None:
        """Shape a serializer's fields."""
        for name in list(row.fields):
            if self.fields is not None and name not in self.fields:
                row.fields.pop(name)
        for name in set(self.expand) & row.fields.keys():
            row.fields[name] = expandable[name](read_only=True)


def _chosen(request: Request, parameter: str, names: Iterable[str]) -> list[str] | None:
    given = request.query_params.get(parameter)
    if given is None:
        return None
    known = list(names)
    chosen = [name.strip() for name in given.split(",") if name.strip()]
    if not chosen or any(name not in known for name in chosen):
        raise BadQuery(parameter, f"Choose from {', '.join(known)}." if known else "Nothing can be chosen here.")
    return chosen
