"""Clients of the API for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import Group, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from security.roles import Role

if TYPE_CHECKING:
    # The name under which the stubs know an answer with `json()`.
    from rest_framework.response import _MonkeyPatchedResponse as Response

ROOT = "/api/v1"


class Client:
    """A person with a role, logged in; paths are those behind /api/v1."""

    def __init__(self, role: Role | None = Role.ADMIN) -> None:
        self._client = APIClient()
        if role is not None:
            user, _ = User.objects.get_or_create(username=role.group)
            user.groups.add(Group.objects.get_or_create(name=role.group)[0])
            self._client.force_authenticate(user)

    def get(self, path: str, **query: Any) -> Response:
        return self._client.get(ROOT + path, query)

    def post(self, path: str, **body: Any) -> Response:
        return self._client.post(ROOT + path, body, format="json")

    def patch(self, path: str, **body: Any) -> Response:
        return self._client.patch(ROOT + path, body, format="json")

    def put(self, path: str, **body: Any) -> Response:
        return self._client.put(ROOT + path, body, format="json")

    def delete(self, path: str) -> Response:
        return self._client.delete(ROOT + path)

    def send(self, path: str, text: str) -> Response:
        """Post a body as it stands."""
        return self._client.post(ROOT + path, text, content_type="application/json")

    def ids(self, path: str, **query: Any) -> list[int]:
        """Return the ids of a list."""
        response = self.get(path, **query)
        assert response.status_code == 200, response.content
        return [row["id"] for row in response.json()["results"]]

    def count_queries(self, path: str) -> int:
        # The user stays in memory from one request to the next, and remembers what was asked about it.
        self.get(path)
        with CaptureQueriesContext(connection) as queries:
            assert self.get(path).status_code == 200
        return len(queries)


def error(response: Response) -> tuple[int, str, str | None]:
    """Return status, code and field (`limits.usd`) or parameter of the first error in an answer."""
    first = response.json()["errors"][0]
    field = first.get("pointer", "").removeprefix("/").replace("/", ".")
    return response.status_code, first["code"], field or first.get("parameter")
