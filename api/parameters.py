"""How the API's description speaks of parameters: those that many operations understand, filters, and orders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from drf_spectacular.contrib.django_filters import DjangoFilterExtension
from drf_spectacular.extensions import OpenApiFilterExtension

from api import idempotency

Parameter = dict[str, Any]

KEY: Parameter = {
    "name": idempotency.HEADER,
    "in": "header",
    "description": "1 to 255 printable ASCII characters without spaces. Sent again with the same body within a day, the request is "
    "not carried out again: the first answer comes back, with `Idempotency-Replayed: true`.",
    "schema": {"type": "string", "pattern": r"^[\x21-\x7e]+$", "minLength": 1, "maxLength": 255},
}
IF_MATCH: Parameter = {
    "name": "If-Match",
    "in": "header",
    "description": 'The ETag that was read, such as `"4"`: if the row has another one now, the answer is 412.',
    "schema": {"type": "string"},
}
FIELDS = "Only these fields; all others are left out of the answer, also those that are called required here."
EXPAND = "These rows whole, in the place of their ids."
_ORDERING = "By what to order; a minus in front turns it round."
_BOUNDS = {"max_length": "maxLength", "min_value": "minimum", "max_value": "maximum"}


def several(name: str, description: str, choices: Iterable[str], **schema: Any) -> Parameter:
    """Describe a parameter of the query that holds some of the choices, separated by commas."""
    return {
        "name": name,
        "in": "query",
        "description": f"{description} Separated by commas.",
        "schema": {
            "type": "array",
            "items": {"type": "string", "enum": list(choices)},
            "minItems": 1,
            **schema,
        },
        "style": "form",
        "explode": False,
    }


class FilterExtension(DjangoFilterExtension):  # type: ignore[no-untyped-call]
    """Says also how long a text may be, and how large a number."""

    priority = 1

    def resolve_filter_field(self, *args: Any) -> list[Parameter]:
        parameters: list[Parameter] = super().resolve_filter_field(*args)  # type: ignore[no-untyped-call]
        extra = args[-1].extra
        for parameter in parameters:
            parameter["schema"].update({_BOUNDS[name]: extra[name] for name in _BOUNDS if name in extra})
        return parameters


class OrderingExtension(OpenApiFilterExtension):  # type: ignore[no-untyped-call]
    """Says by what a list can be ordered."""

    target_class = "api.queries.OrderingFilter"

    def get_schema_operation_parameters(self, auto_schema: Any, *args: Any, **kwargs: Any) -> list[Parameter]:
        terms = [term for name in auto_schema.view.ordering_fields for term in (name, f"-{name}")]
        return [several(self.target.ordering_param, _ORDERING, terms, uniqueItems=True)]
