"""The demo's client of the public API."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import httpx

Json = dict[str, Any]


class Api:
    """`/api/v1` with a token. Every answer that is no success raises httpx.HTTPStatusError with what it said."""

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.Client(
            base_url=f"{url}/api/v1/", headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False
        )

    def get(self, path: str, **query: object) -> Json:
        return self._answer(self._http.get(path, params={name: str(value) for name, value in query.items()}))

    def post(self, path: str, **body: object) -> Json:
        return self._answer(self._http.post(path, json=body))

    def all(self, path: str, **query: object) -> Iterator[Json]:
        """Yield every row of a list, page after page."""
        page = self.get(path, **query)
        while True:
            yield from page["results"]
            if not page["next"]:
                return
            page = self._answer(self._http.get(page["next"]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._http.close()

    def _answer(self, response: httpx.Response) -> Json:
        if response.is_error:
            message = f"{response.request.method} {response.request.url}: {response.status_code} {response.text}"
            raise httpx.HTTPStatusError(message, request=response.request, response=response)
        found: Json = response.json()
        return found
