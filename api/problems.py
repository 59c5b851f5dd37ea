"""The shape in which errors are told: RFC 9457, problem details.

`{type, title, status, code, detail, instance, trace_id, errors: [{code, detail, pointer | parameter}], data?}`
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, NamedTuple

MEDIA_TYPE = "application/problem+json"
# What a type begins with; the code follows. Listed in docs/errors.md.
TYPE = "urn:beebeebrain:error:"
# The code of an answer that tells several errors.
SEVERAL = "invalid_request"


class Fault(NamedTuple):
    """One thing that was wrong; `place` names a field as `limits/usd`, empty for the request as a whole."""

    code: str
    detail: str
    place: str = ""


def problem(
    status: int, faults: Iterable[Fault], *, path: str, trace_id: str, has_body: bool, data: dict[str, Any]
) -> dict[str, Any]:
    """Return the body of an error answer. `has_body` tells whether places are in a body or in a query."""
    told = list(faults)
    code = told[0].code if len(told) == 1 else SEVERAL
    return {
        "type": TYPE + code,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": _detail(told),
        "instance": path,
        "trace_id": trace_id,
        "errors": [_error(fault, has_body=has_body) for fault in told],
        **({"data": data} if data else {}),
    }


def _detail(faults: list[Fault]) -> str:
    first = f"{faults[0].place.replace('/', '.')}: {faults[0].detail}" if faults[0].place else faults[0].detail
    return first if len(faults) == 1 else f"{first} There are {len(faults)} errors; `errors` has them all."


def _error(fault: Fault, *, has_body: bool) -> dict[str, str]:
    told = {"code": fault.code, "detail": fault.detail}
    if not fault.place:
        return told
    return told | ({"pointer": f"/{fault.place}"} if has_body else {"parameter": fault.place})
