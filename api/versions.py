"""Optimistic locks over HTTP: a row's version is its ETag, and If-Match says which version a change was made for.

RFC 9110, section 13.1.1: the comparison is the strong one, so a weak tag matches nothing. The tag stands for the row as it
can be changed, not for the bytes of an answer: a task also shows its run, and `?expand=` other rows. So a GET takes no
If-None-Match.
"""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request

_IF_MATCH = "If-Match"
# No row has this version: the service finds the conflict, and records it like any other.
_NEVER = 0


def etag(version: int) -> str:
    """Return the entity tag of a version."""
    return f'"{version}"'


def headers(row: Any) -> dict[str, str]:
    """Return the headers of an answer that shows a row, or the values of one: its tag, if the row can change."""
    version = row.get("version") if isinstance(row, dict) else getattr(row, "version", None)
    return {} if version is None else {"ETag": etag(version)}


def expected(request: Request, row: Any, body: dict[str, Any]) -> dict[str, Any]:
    """Return the body with the `expected_version` that its If-Match stands for. One in the body counts as well."""
    if request.headers.get(_IF_MATCH, "*").strip() == "*":
        return body
    if not matches(request, row.version):
        return body | {"expected_version": _NEVER}
    # Somebody else may be faster still; the service looks again when it has the lock.
    return {"expected_version": row.version} | body


def guarded(request: Request, row: Any) -> dict[str, Any]:
    """Return the arguments for a change of `row` that has no body."""
    return expected(request, row, {})


def matches(request: Request, version: int | None) -> bool:
    """Tell whether a request is for this version, as far as its If-Match says; one without it is for any."""
    given = request.headers.get(_IF_MATCH, "*").strip()
    return given == "*" or (version is not None and etag(version) in [tag.strip() for tag in given.split(",")])
