from __future__ import annotations

from typing import Any

import pytest
from pytest_django.fixtures import Settings

from security.websockets import is_origin_allowed


def scope(**headers: str) -> dict[str, Any]:
    return {"headers": [(name.encode(), value.encode()) for name, value in headers.items()]}


@pytest.fixture(autouse=True)
def hosts(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["localhost", "[::1]", "bee.example.org"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://front.example.org"]


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:8000", "localhost:8000"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("https://bee.example.org", "bee.example.org"),
        ("https://front.example.org", "bee.example.org"),
    ],
)
def test_pages_of_ours_are_allowed(origin: str, host: str) -> None:
    assert is_origin_allowed(scope(origin=origin, host=host))


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example.org", "localhost:8000"),
        # DNS rebinding: the page's own name leads to us.
        ("http://evil.example.org:8000", "evil.example.org:8000"),
        # A development server an agent has started.
        ("http://localhost:3000", "localhost:8000"),
        ("http://localhost", "localhost:8000"),
        ("http://front.example.org", "bee.example.org"),
        ("null", "localhost:8000"),
        ("http://[", "localhost:8000"),
    ],
)
def test_other_pages_are_not(origin: str, host: str) -> None:
    assert not is_origin_allowed(scope(origin=origin, host=host))


def test_other_pages_are_not_allowed_with_a_token_either() -> None:
    assert not is_origin_allowed(scope(origin="http://evil.example.org", host="localhost", authorization="Bearer x"))


def test_a_program_needs_no_origin_but_a_token() -> None:
    assert is_origin_allowed(scope(host="localhost", authorization="Bearer x"))
    assert not is_origin_allowed(scope(host="localhost"))
