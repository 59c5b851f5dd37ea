"""After a test that commits, its rows are deleted, and what the migrations have put there is left.

Django's own way empties every table and then makes permissions, content types and groups anew, one commit after another:
longer than most tests. What is left here is counted, so that a test that changed it still has it made anew.
"""

from __future__ import annotations

from typing import Any

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import TransactionTestCase

KEPT = ("auth_group", "auth_group_permissions", "auth_permission", "django_content_type")
_flush = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]
# How many rows the kept tables have, by the name of the database.
_made: dict[str, tuple[int, ...]] = {}


def pytest_configure() -> None:
    TransactionTestCase._fixture_teardown = clean  # type: ignore[attr-defined]


def clean(case: Any) -> None:
    """Do what a test case does at its end: leave a database without rows of the test."""
    connection = connections["default"]
    name = str(connection.settings_dict["NAME"])
    if name in _made and _counts(connection) == _made[name]:
        delete_rows(connection)
    else:
        _flush(case)
        _made[name] = _counts(connection)


def delete_rows(connection: BaseDatabaseWrapper) -> None:
    """Delete all rows but those of the tables that are kept."""
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for table in _with_rows(cursor, sorted(set(tables) - {*KEPT, "django_migrations"})):
            # Whoever refers to them is checked at the commit.
            cursor.execute(f'DELETE FROM "{table}"')  # noqa: S608  (as below)


def _with_rows(cursor: Any, tables: list[str]) -> list[str]:
    looks = [f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM \"{table}\")" for table in tables]  # noqa: S608  (our own tables)
    cursor.execute(" UNION ALL ".join(looks))
    return [table for (table,) in cursor.fetchall()]


def _counts(connection: BaseDatabaseWrapper) -> tuple[int, ...]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT " + ", ".join(f"(SELECT COUNT(*) FROM {table})" for table in KEPT))  # noqa: S608  (as above)
        counts: tuple[int, ...] = cursor.fetchone()
        return counts
