"""What the query of an address may ask: an order, filters, fewer fields, whole rows in place of ids. What means nothing is refused."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import unquote_to_bytes

from django.db.models import QuerySet
from rest_framework import filters, serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.views import APIView

FIELDS, EXPAND = "fields", "expand"
# Every answer that shows rows understands these.
SHAPE = frozenset({FIELDS, EXPAND})
PAGE = frozenset({"limit", "cursor", "ordering"})


class BadQuery(ValidationError):
    """Something in the query of the address, not in the body."""

    def __init__(self, name: str, message: str, code: str = "invalid") -> None:
        super().__init__({name: [ErrorDetail(message, code)]})


def refuse_unknown(
    request: Request, known: Iterable[str], *, repeatable: Collection[str] = (), texts: Collection[str] = ()
) -> None:
    """Refuse what would be ignored: a misspelt filter would show everything, and so would an empty one; of two values,
    one would count. Raises BadQuery.
    """
    try:
        unquote_to_bytes(request.META.get("QUERY_STRING", "")).decode()
    except UnicodeDecodeError:
        raise BadQuery(api_settings.NON_FIELD_ERRORS_KEY, "The query of the address is not UTF-8.") from None
    accepted = sorted(known)
    for name, values in request.query_params.lists():
        if name not in accepted:
            told = f"There is no such parameter; there are: {', '.join(accepted)}." if accepted else "None is accepted."
            raise BadQuery(name, told, "unknown_parameter")
        if len(values) > 1 and name not in repeatable:
            raise BadQuery(name, "It is given more than once. Give it once.")
        if "" in values and name not in texts:
            raise BadQuery(name, "It is empty. Give a value, or leave it out.", "blank")


class OrderingFilter(filters.OrderingFilter):
    """Orders by what the view allows, and refuses anything else."""

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: APIView) -> Any:
        given = request.query_params.get(self.ordering_param)
        if given is None:
            return self.get_default_ordering(view)
        terms = [term.strip() for term in given.split(",")]
        names = [term.removeprefix("-") for term in terms]
        allowed = [name for name, _ in self.get_valid_fields(queryset, view, {"request": request})]
        if not set(names).issubset(allowed) or len(set(names)) < len(names):
            told = f"Choose from {', '.join(allowed)}, each once, with or without a minus."
            raise BadQuery(self.ordering_param, told)
        return terms


@dataclass(frozen=True)
class Shape:
    """How rows are shown: with which fields (None: all), and which ids are replaced by what they stand for."""

    fields: frozenset[str] | None = None
    expand: frozenset[str] = frozenset()

    @classmethod
    def of(cls, request: Request, row: Callable[[], Any], expandable: Iterable[str]) -> Self:
        """Return what a request asks for; `row` makes the serializer of a row. Raises BadQuery for a name it does not have."""
        query = request.query_params
        fields = _chosen(query[FIELDS], FIELDS, row().fields) if FIELDS in query else None
        expand = _chosen(query[EXPAND], EXPAND, expandable) if EXPAND in query else frozenset()
        return cls(fields, expand if fields is None else expand & fields)

    def shows(self, field: str) -> bool:
        return self.fields is None or field in self.fields

    def apply(
        self, row: serializers.Serializer[Any], expandable: Mapping[str, type[serializers.Serializer[Any]]]
    ) -> None:
        """Shape a serializer's fields."""
        for name in list(row.fields.keys()):
            if not self.shows(name):
                row.fields.pop(name)
        for name in self.expand:
            row.fields[name] = expandable[name](read_only=True)


def _chosen(given: str, parameter: str, names: Iterable[str]) -> frozenset[str]:
    known = list(names)
    chosen = frozenset(name.strip() for name in given.split(","))
    if not chosen.issubset(known):
        raise BadQuery(parameter, f"Choose from {', '.join(known)}." if known else "Nothing can be chosen here.")
    return chosen
