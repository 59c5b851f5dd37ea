"""What the database works out for each row of a list, beside the columns of the row."""

from __future__ import annotations

from typing import Any

import orjson
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql.compiler import SQLCompiler

from security.subqueries import CompiledOnce


class _List(models.JSONField):
    def from_db_value(self, value: str | None, _expression: Any, _connection: BaseDatabaseWrapper) -> Any:
        return orjson.loads(value or "[]")


class Ids(CompiledOnce):
    """What a subquery of one column, called `found`, finds: a list in the order of the subquery."""

    output_field = _List()

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any) -> Any:
        return self.as_sql(
            compiler, connection, template="(SELECT json_group_array(found) FROM (%(subquery)s))", **extra
        )

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, template="to_jsonb(ARRAY(%(subquery)s))", **extra)


class Number(CompiledOnce):
    """How many rows a subquery finds."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) found)"
    output_field = models.IntegerField()
