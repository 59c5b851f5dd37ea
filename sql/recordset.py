"""Rows that a statement is given as one value, JSON: as a table that it selects from or joins with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import connection
from django.db.models import Field


def recordset(fields: Sequence[Field[Any, Any]]) -> str:
    """Return the SQL of a table `given` with columns as these fields have them; its one parameter is what `dumped` returns."""
    quote = connection.ops.quote_name
    if connection.vendor == "postgresql":
        typed = ", ".join(f"{quote(str(field.column))} {field.db_type(connection)}" for field in fields)
        return f"jsonb_to_recordset(%s::jsonb) AS given ({typed})"
    names = [str(field.column) for field in fields]
    found = ", ".join(f"json_extract(value, '$.{name}') AS {quote(name)}" for name in names)
    return f"(SELECT {found} FROM json_each(%s)) AS given"  # noqa: S608  (names of ours)


def dumped(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows, by column, as the parameter of a `recordset`. Times are ISO texts, decimals are texts.

    No text may hold NUL: PostgreSQL refuses it, and SQLite's JSON would end the text there.
    """
    return json.dumps(list(rows))
