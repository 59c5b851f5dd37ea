"""Queries that are put into words once: Django takes several times as long to write a small query as the database to answer it.

A prepared query is a function that makes a queryset of its arguments. It is called with marks in their place; from then on
values take the places of the marks in its SQL. How rows become models is Django's own, with `only` and `select_related`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Generic, NamedTuple, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import QuerySet
from django.db.models.sql import UpdateQuery

Row = TypeVar("Row")

# Numbers pass through every kind of field but that of times, and these are not too large for any. A query in which such a
# number stands by itself is refused, as one that depends on more than its arguments.
_MARK = 30_000
_EARLY = datetime(1, 1, 2, tzinfo=UTC)
# Stands for an empty list, for which not every database has words: no id and no name of ours, and as a text fit for columns of
# both.
_NONE_OF_OURS = ("-1",)


class PreparedQuery(Generic[Row]):
    """The rows of a queryset, by its arguments: numbers, texts, times, None, and lists of them for an `__in`.

    What is given by name is no value but decides how the question is put, as a limit does: to each belong words of its own,
    and so they do to None.
    """

    def __init__(self, build: Callable[..., QuerySet[Any, Row]]) -> None:
        self._build = build

    def __call__(self, *values: Any, **forms: Any) -> list[Row]:
        """Ask the database. Raises ValueError for a query that depends on more than its arguments, such as the time."""
        key = (self, _nones(values), *forms.values())
        asked: _Asked = _kept(key, lambda: _Asked(values, lambda marks: self._build(*marks, **forms)))
        return asked.rows(values)


class PreparedUpdate:
    """An UPDATE, by its arguments as above. `build` returns the rows, and what is written to them."""

    def __init__(self, build: Callable[..., tuple[QuerySet[Any], dict[str, Any]]]) -> None:
        self._build = build

    def __call__(self, *values: Any, **forms: Any) -> int:
        """Write, in the caller's transaction, and return how many rows there were. Raises ValueError as above."""
        key = (self, _nones(values), *forms.values())
        words: _Words = _kept(key, lambda: _words(values, lambda marks: self._write(marks, forms)))
        with connection.cursor() as cursor:
            cursor.execute(*words.with_values(values))
            return int(cursor.rowcount)

    def _write(self, marks: Sequence[Any], forms: dict[str, Any]) -> Any:
        rows, changes = self._build(*marks, **forms)
        query: Any = rows.order_by().query.chain(UpdateQuery)
        query.add_update_values(changes)
        return query.get_compiler(connection=connection)


def _kept(key: Any, make: Callable[[], Any]) -> Any:
    """Return what was made for this connection: a compiler belongs to one, and goes with it."""
    kept = vars(connections[DEFAULT_DB_ALIAS]).setdefault("_prepared", {})
    if key not in kept:
        kept[key] = make()
    return kept[key]


class _Asked:
    """A queryset of one connection whose compiler has nothing left to compile."""

    def __init__(self, values: Sequence[Any], build: Callable[[Sequence[Any]], QuerySet[Any, Any]]) -> None:
        def compiler_of(marks: Sequence[Any]) -> Any:
            self._queryset: Any = build(marks)
            self._compiler = self._queryset.query.get_compiler(connection=connection)
            return self._compiler

        self._words = _words(values, compiler_of)
        converters = self._compiler.get_converters([column for column, *_ in self._compiler.select])
        self._compiler.get_converters = lambda _: converters
        self._queryset.query.get_compiler = lambda *_, **__: self._compiler

    def rows(self, values: Sequence[Any]) -> list[Any]:
        statement = self._words.with_values(values)
        self._compiler.as_sql = lambda *_, **__: statement
        return list(self._queryset._iterable_class(self._queryset))


class _Hole(NamedTuple):
    """The place of an argument among the values of a statement."""

    argument: int


class _Words(NamedTuple):
    """A statement as the parts between its values, and these values, some of which are holes."""

    parts: list[str]
    values: list[Any]

    def with_values(self, arguments: Sequence[Any]) -> tuple[str, list[Any]]:
        """Return the statement, and its values, for these arguments."""
        sql, bound = [self.parts[0]], []
        for value, part in zip(self.values, self.parts[1:], strict=True):
            given = arguments[value.argument] if isinstance(value, _Hole) else value
            several = [_bound(item) for item in given or _NONE_OF_OURS] if _is_list(given) else [_bound(given)]
            sql += [", ".join(["%s"] * len(several)), part]
            bound += several
        return "".join(sql), bound


def _words(values: Sequence[Any], compiler_of: Callable[[Sequence[Any]], Any]) -> _Words:
    """Have a statement written twice, with other marks: where they stand are the holes, and all else has to be the same."""
    written = []
    for first in (0, len(values)):
        marks = [_mark(first + number, value) for number, value in enumerate(values)]
        given = [[mark] if _is_list(value) else mark for mark, value in zip(marks, values, strict=True)]
        sql, bound = compiler_of(given).as_sql()
        holes = {str(_bound(mark)): _Hole(number) for number, mark in enumerate(marks) if mark is not None}
        written.append(_Words(sql.split("%s"), [holes.get(str(value), value) for value in bound]))
    if written[0] != written[1]:
        raise ValueError("A query that depends on more than its arguments cannot be prepared.")
    return written[1]


def _nones(values: Sequence[Any]) -> tuple[bool, ...]:
    return tuple(value is None for value in values)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset)


def _mark(number: int, value: Any) -> Any:
    if value is None:
        return None
    first = next(iter(value), None) if _is_list(value) else value
    if isinstance(first, datetime):
        return _EARLY + timedelta(microseconds=number)
    return _EARLY.date() + timedelta(days=number) if isinstance(first, date) else _MARK + number


def _bound(value: Any) -> Any:
    """Return a value as the driver takes it."""
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    return connection.ops.adapt_datefield_value(value) if isinstance(value, date) else value
