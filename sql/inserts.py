"""Insert many new rows of a model for little more than the driver takes: `bulk_create` without what the hot path has no use for.

`bulk_create` resolves each value of each row as an expression, which takes many times what the database needs to write it.
Here values are values: what a column needs is worked out once a model. No expressions, no conflicts, no parents.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache, lru_cache, partial
from operator import itemgetter
from typing import Any, TypeVar

from django.db import connection, transaction
from django.db.models import DateField, DateTimeField, DecimalField, Field, JSONField, Model

from sql.recordset import dumped, recordset

M = TypeVar("M", bound=Model)
Prepare = Callable[[Any], Any]

# What is longer than a few hundred rows wins nothing more.
_VALUES = 16_000


def insert_all(model: type[M], rows: Sequence[M]) -> None:
    """Insert new rows in their order, and give them their ids. Runs in the caller's transaction: what is refused is an IntegrityError."""
    if not rows:
        return
    alias = connection.alias
    for row, pk in zip(rows, write_all(model, rows), strict=True):
        row.pk = pk
        row._state.adding, row._state.db = False, alias


def write_all(model: type[Model], rows: Sequence[object]) -> list[int]:
    """Insert rows as above, and return their ids. They need not be instances of the model: what has its attributes is a row."""
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("Rows are inserted in a transaction.")
    table = _table(model, connection.vendor)
    chunk = _VALUES // len(table.fields)
    with connection.cursor() as cursor:
        return [pk for first in range(0, len(rows), chunk) for pk in table.insert(cursor, rows[first : first + chunk])]


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
        self._values = itemgetter(*(field.attname for field in self.fields))
        prepares = [(place, self.prepare(field)) for place, field in enumerate(self.fields)]
        self._prepares = [(place, prepare) for place, prepare in prepares if prepare is not None]
        self.names = ", ".join(quote(str(field.column)) for field in self.fields)
        self.into = f"INSERT INTO {quote(meta.db_table)} ({self.names}) "

    def insert(self, cursor: Any, rows: Sequence[Any]) -> Sequence[int]:
        """Insert rows, all with one stamp, and return their ids."""
        for field in self._stamped:
            stamp = field.pre_save(rows[0], add=True)
            for row in rows:
                setattr(row, field.attname, stamp)
        return self.write(cursor, [self._written(row) for row in rows])

    def _written(self, row: Any) -> list[Any]:
        values = list(self._values(vars(row)))
        for place, prepare in self._prepares:
            if values[place] is not None:
                values[place] = prepare(values[place])
        return values

    @abstractmethod
    def prepare(self, field: Field[Any, Any]) -> Prepare | None:
        """Return what makes of a field's value what is written; None where that is the value."""

    @abstractmethod
    def write(self, cursor: Any, rows: list[list[Any]]) -> Sequence[int]:
        """Write rows, by column, and return their ids in order."""


class _OnSQLite(_Table):
    """One short statement for row after row: SQLite takes longer to read a long one than to do it so often."""

    def __init__(self, model: type[Model]) -> None:
        super().__init__(model)
        self._statement = f"{self.into} VALUES ({', '.join(['%s'] * len(self.fields))})"

    def prepare(self, field: Field[Any, Any]) -> Prepare | None:
        if isinstance(field, DateTimeField):
            # Most rows of a statement have the same times.
            return lru_cache(maxsize=16)(connection.ops.adapt_datetimefield_value)
        if isinstance(field, JSONField):
            return json.dumps
        return partial(field.get_db_prep_save, connection=connection) if isinstance(field, DecimalField) else None

    def write(self, cursor: Any, rows: list[list[Any]]) -> Sequence[int]:
        cursor.executemany(self._statement, rows)
        cursor.execute("SELECT last_insert_rowid()")
        [newest] = cursor.fetchone()
        # In a transaction nobody else writes, so they follow each other.
        return range(newest - len(rows) + 1, newest + 1)


class _OnPostgreSQL(_Table):
    """All rows are one value: the driver would spend longer on finding the place of each than all the rest takes."""

    def __init__(self, model: type[Model]) -> None:
        super().__init__(model)
        returning = f"RETURNING {connection.ops.quote_name(str(model._meta.pk.column))}"
        self._statement = f"{self.into} SELECT {self.names} FROM {recordset(self.fields)} {returning}"  # noqa: S608  (names of ours)

    def prepare(self, field: Field[Any, Any]) -> Prepare | None:
        if isinstance(field, DateTimeField):
            return datetime.isoformat
        return str if isinstance(field, DecimalField) else None

    def write(self, cursor: Any, rows: list[list[Any]]) -> Sequence[int]:
        columns = [str(field.column) for field in self.fields]
        cursor.execute(self._statement, [dumped(dict(zip(columns, row, strict=True)) for row in rows)])
        return [pk for (pk,) in cursor.fetchall()]
