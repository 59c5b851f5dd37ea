"""Optimistic locks over HTTP: a row's version is its ETag, and If-Match says which version a change was made for.

RFC 9110, sections 8.8.3 and 13.1.1: the comparison is the strong one, so a weak tag matches nothing.
"""

from __future__ import annotations

import re
from typing import Any

from rest_framework.request import Request

_TAG = re.compile(r'(W/)?"([^"]*)"')
# No row has this version: the service finds the conflict, and records it like any other.
NEVER = 0


def etag(version: int) -> str:
    """Return the entity tag of a version."""
    return f'"{version}"'


def headers(row: Any) -> dict[str, str]:
    """Return the headers of an answer that shows a row: its tag, if the row can change."""
    return {"ETag": etag(row.version)} if hasattr(row, "version") else {}


def is_conditional(request: Request) -> bool:
    """Tell whether a change was sent for certain versions only."""
    return "If-Match" in request.headers


def expected(request: Request, row: Any, body: dict[str, Any]) -> dict[str, Any]:
    """Return the body with the `expected_version` that its If-Match asks for, where it has one."""
    if not is_conditional(request) or _matches(request.headers["If-Match"], row.version):
        return body
    return body | {"expected_version": NEVER}


def guarded(request: Request, row: Any) -> dict[str, Any]:
    """Return the arguments for a change of `row` that has no body."""
    return expected(request, row, {"expected_version": row.version} if is_conditional(request) else {})


def _matches(header: str, version: int) -> bool:
    if header.strip() == "*":
        return True
    return any(not weak and tag == str(version) for weak, tag in _TAG.findall(header))
