"""The shape in which errors are told: RFC 9457, problem details.

`{type, title, status, code, detail, instance, trace_id, errors: [{code, detail, pointer | parameter}], data?}`
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any, NamedTuple

from rest_framework.exceptions import ErrorDetail
from rest_framework.settings import api_settings

MEDIA_TYPE = "application/problem+json"
# What a type begins with; the code follows. Listed in docs/errors.md.
TYPE = "urn:beebeebrain:error:"
# The code of an answer that tells several errors.
SEVERAL = "invalid_request"
# Nobody reads more; a body of a thousand mistakes is answered in a page.
MOST_TOLD = 100
_LONGEST_NAME = 100
# As RFC 9110 has them; Python 3.13 renamed them to this.
TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}


class Fault(NamedTuple):
    """One thing that was wrong, and where: the names and numbers that lead there, none for the request as a whole."""

    code: str
    detail: str
    place: tuple[str | int, ...] = ()


def faults_in(detail: Any, place: tuple[str | int, ...] = ()) -> Iterator[Fault]:
    """Return one by one what a serializer, a filter or an exception of DRF refuses."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            yield from faults_in(inner, place if name == api_settings.NON_FIELD_ERRORS_KEY else (*place, name))
    elif isinstance(detail, list):
        for number, inner in enumerate(detail):
            yield from faults_in(inner, place if isinstance(inner, ErrorDetail) else (*place, number))
    else:
        yield Fault(detail.code, str(detail), place)


def problem(
    status: int, faults: Iterable[Fault], *, path: str, trace_id: str, has_body: bool, data: dict[str, Any]
) -> dict[str, Any]:
    """Return the body of an error answer. `has_body` tells whether places are in a body or in a query."""
    told = list(faults)
    code = told[0].code if len(told) == 1 else SEVERAL
    return {
        "type": TYPE + code,
        "title": TITLES.get(status) or HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": _detail(told),
        "instance": path,
        "trace_id": trace_id,
        "errors": [_error(fault, has_body=has_body) for fault in told[:MOST_TOLD]],
        **({"data": data} if data else {}),
    }


def _detail(faults: list[Fault]) -> str:
    first = f"{_name(faults[0].place)}: {faults[0].detail}" if faults[0].place else faults[0].detail
    return first if len(faults) == 1 else f"{first} There are {len(faults)} errors; `errors` lists them."


def _error(fault: Fault, *, has_body: bool) -> dict[str, str]:
    told = {"code": fault.code, "detail": fault.detail}
    if not fault.place:
        return told
    return told | ({"pointer": _pointer(fault.place)} if has_body else {"parameter": _name(fault.place)})


def _name(place: tuple[str | int, ...]) -> str:
    return ".".join(_shown(part) for part in place)


def _pointer(place: tuple[str | int, ...]) -> str:
    """Return a JSON pointer (RFC 6901)."""
    return "".join(f"/{_shown(part).replace('~', '~0').replace('/', '~1')}" for part in place)


def _shown(part: str | int) -> str:
    """Return a name from outside as an answer may repeat it: not too long, and only what UTF-8 holds."""
    return str(part)[:_LONGEST_NAME].encode(errors="replace").decode()
