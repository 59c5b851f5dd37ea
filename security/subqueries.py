"""Subqueries in queries that every request needs."""

from __future__ import annotations

from typing import Any, Self

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Subquery
from django.db.models.sql.compiler import SQLCompiler


class CompiledOnce(Subquery):
    """A subquery for querysets that are kept: Django takes longer to turn it into SQL than the database to run it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._compiled: dict[str, Any] = {}

    def copy(self) -> Self:
        # The copy may be for a query in which the tables have other names.
        copied = super().copy()
        copied._compiled = {}
        return copied

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any) -> Any:  # type: ignore[override]
        if connection.vendor not in self._compiled:
            self._compiled[connection.vendor] = super().as_sql(compiler, connection, **extra)
        return self._compiled[connection.vendor]
