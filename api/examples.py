"""Examples in the API's description. They tell of one small world: project 1, agent 3, task 7 and its run 12."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer

S = TypeVar("S", bound=type[Any])


def shown(answer: Any = None, *, request: Any = None) -> Callable[[S], S]:
    """Give a serializer its example: of an answer, of the body of a request, or of both."""
    examples = []
    if answer is not None:
        examples.append(OpenApiExample("Answer", value=answer, response_only=True, status_codes=["200", "201"]))
    if request is not None:
        examples.append(OpenApiExample("Request", value=request, request_only=True))
    return extend_schema_serializer(examples=examples)
