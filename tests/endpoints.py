"""Every endpoint there is, found where the server finds it, so that no test can forget one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

API = "api/v1/"
_PARAMETER = re.compile(r"\(\?P<(\w+)>[^)]*\)")


@dataclass(frozen=True)
class Endpoint:
    """An address, as docs and people write it: `api/v1/tasks/{pk}/why`."""

    path: str
    view: Any
    """The class that serves it, or None."""
    action: str
    """What a GET does there; empty where it is no viewset's."""

    def url(self, **names: object) -> str:
        """Return the address with its parameters filled in."""
        return "/" + self.path.format(**names)

    @property
    def noun(self) -> str:
        """What the address begins with: `tasks`."""
        return self.path.removeprefix(API).split("/")[0]


def endpoints() -> dict[str, Endpoint]:
    """Return every endpoint but the admin's pages, by its path."""
    found = (_endpoint(path, pattern) for path, pattern in _walk(get_resolver().url_patterns))
    return {endpoint.path: endpoint for endpoint in found if not endpoint.path.startswith("admin/")}


def _walk(patterns: list[Any], before: str = "") -> Iterator[tuple[str, URLPattern]]:
    for pattern in patterns:
        path = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, path)
        else:
            yield path, pattern


def _endpoint(path: str, pattern: URLPattern) -> Endpoint:
    callback: Any = pattern.callback
    plain = _PARAMETER.sub(r"{\1}", path).replace("^", "").replace("$", "")
    return Endpoint(plain, getattr(callback, "cls", None), getattr(callback, "actions", {}).get("get", ""))
