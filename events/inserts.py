"""Insert many new rows of a model for little more than the driver takes: `bulk_create` without what the hot path has no use for.

`bulk_create` resolves each value of each row as an expression, which takes many times what the database needs to write it.
Here values are values: what a column needs is worked out once a model. No expressions, no conflicts, no parents.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import cache, partial
from typing import Any, TypeVar

from django.db import connection
from django.db.models import DateField, DateTimeField, DecimalField, Field, JSONField, Model

from events.recordset import dumped, recordset

M = TypeVar("M", bound=Model)
Prepare = Callable[[Any], Any]

# SQLite takes 32,766 values in a statement; what is longer than a few hundred rows wins nothing more.
_VALUES = 16_000


def insert_all(model: type[M], rows: Sequence[M]) -> None:
    """Insert new rows in their order, and give them their ids. Runs in the caller's transaction: what is refused is an IntegrityError."""
    if not rows:
        return
    table = _table(model, connection.vendor)
    chunk = _VALUES // len(table.fields)
    with connection.cursor() as cursor:
        for first in range(0, len(rows), chunk):
            table.insert(cursor, rows[first : first + chunk])


@cache
def _table(model: type[Model], vendor: str) -> _Table:
    return _OnPostgreSQL(model) if vendor == "postgresql" else _OnSQLite(model)


class _Table(ABC):
    """How rows of a model are written on one kind of database."""

    def __init__(self, model: type[Model]) -> None:
        meta, quote = model._meta, connection.ops.quote_name
        self.fields = [field for field in meta.concrete_fields if not field.primary_key]
        self._stamped = [
            field for field in self.fields if isinstance(field, DateField) and (field.auto_now or field.auto_now_add)
        ]
        self._columns = [(field.attname, self.prepare(field)) for field in self.fields]
        self.names = ", ".join(quote(str(field.column)) for field in self.fields)
        self.into = f"INSERT INTO {quote(meta.db_table)} ({self.names}) "
        self.returning = f" RETURNING {quote(str(meta.pk.column))}"

    def insert(self, cursor: Any, rows: Sequence[Model]) -> None:
        for field in self._stamped:
            for row in rows:
                field.pre_save(row, add=True)
        self.write(cursor, [list(self._values(vars(row))) for row in rows])
        for row, (pk,) in zip(rows, cursor.fetchall(), strict=True):
            row.pk = pk
            row._state.adding, row._state.db = False, connection.alias

    def _values(self, row: dict[str, Any]) -> Iterator[Any]:
        for attribute, prepare in self._columns:
            value = row[attribute]
            yield value if prepare is None or value is None else prepare(value)

    @abstractmethod
    def prepare(self, field: Field[Any, Any]) -> Prepare | None:
        """Return what makes of a field's value what is written; None where that is the value."""

    @abstractmethod
    def write(self, cursor: Any, rows: list[list[Any]]) -> None:
        """Run the statement that inserts the rows and answers their ids in order."""


class _OnSQLite(_Table):
    def prepare(self, field: Field[Any, Any]) -> Prepare | None:
        if isinstance(field, DateTimeField):
            return connection.ops.adapt_datetimefield_value
        if isinstance(field, JSONField):
            return json.dumps
        return partial(field.get_db_prep_save, connection=connection) if isinstance(field, DecimalField) else None

    def write(self, cursor: Any, rows: list[list[Any]]) -> None:
        place = f"({', '.join(['%s'] * len(self.fields))})"
        statement = f"{self.into} VALUES {', '.join([place] * len(rows))} {self.returning}"
        cursor.execute(statement, [value for row in rows for value in row])


class _OnPostgreSQL(_Table):
    """All rows are one value: the driver would spend longer on finding the place of each than all the rest takes."""

    def __init__(self, model: type[Model]) -> None:
        super().__init__(model)
        self._statement = f"{self.into} SELECT {self.names} FROM {recordset(self.fields)} {self.returning}"  # noqa: S608  (names of ours)

    def prepare(self, field: Field[Any, Any]) -> Prepare | None:
        if isinstance(field, DateTimeField):
            return datetime.isoformat
        return str if isinstance(field, DecimalField) else None

    def write(self, cursor: Any, rows: list[list[Any]]) -> None:
        columns = [str(field.column) for field in self.fields]
        cursor.execute(self._statement, [dumped(dict(zip(columns, row, strict=True)) for row in rows)])
