"""`--only-database`: the tests that ask a database. The others had their turn on the first one, and would say the same."""

from __future__ import annotations

import pytest

_FIXTURES = {"db", "transactional_db"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--only-database", action="store_true", help="leave out the tests that use no database")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--only-database"):
        config.hook.pytest_deselected(items=[item for item in items if not uses_database(item)])
        items[:] = [item for item in items if uses_database(item)]


def uses_database(item: pytest.Item) -> bool:
    """Tell whether a test is marked `django_db`, or one of its fixtures asks for the database."""
    return item.get_closest_marker("django_db") is not None or bool(_FIXTURES & set(getattr(item, "fixturenames", ())))
