"""What the database works out for each row of a list, beside the columns of the row."""

from __future__ import annotations

from typing import Any

import orjson
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql.compiler import SQLCompiler


class PerRow(models.Expression):
    """A subquery about one row of `model`. It is the same in every query, and compiled once: that takes longer than to run it."""

    def __init__(self, model: type[models.Model], subquery: models.Subquery) -> None:
        super().__init__(output_field=subquery.output_field)
        self._model, self._subquery = model, subquery
        self._compiled: dict[str, Any] = {}

    def resolve_expression(self, *_args: Any, **_kwargs: Any) -> PerRow:
        return self

    def as_sql(self, _compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> Any:
        if connection.vendor not in self._compiled:
            query = self._model._base_manager.annotate(found=self._subquery).query
            self._compiled[connection.vendor] = query.get_compiler(connection=connection).compile(
                query.annotations["found"]
            )
        return self._compiled[connection.vendor]


class _List(models.JSONField):
    def from_db_value(self, value: str | None, _expression: Any, _connection: BaseDatabaseWrapper) -> Any:
        return orjson.loads(value or "[]")


class Ids(models.Subquery):
    """What a subquery of one column, called `found`, finds: a list in the order of the subquery."""

    output_field = _List()

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any) -> Any:
        return self.as_sql(
            compiler, connection, template="(SELECT json_group_array(found) FROM (%(subquery)s))", **extra
        )

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, template="to_jsonb(ARRAY(%(subquery)s))", **extra)


class Number(models.Subquery):
    """How many rows a subquery finds."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) found)"
    output_field = models.IntegerField()
