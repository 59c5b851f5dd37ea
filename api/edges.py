"""Where the rows of one project (or agent, or type) begin and end in a long table that is read in another order."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.db.models import QuerySet


def within_edges(rows: QuerySet[Any], column: str, value: Any, order: str) -> Any:
    """Narrow rows with this value to the stretch of `order` which they lie in; an index leads with the column, `order` behind it.

    PostgreSQL takes values for evenly spread: of one that was frequent and has not been seen for long it would read the
    whole newer part of the table, hoping to meet the next row soon. Two looks into the index tell where to begin.
    """
    if connection.vendor != "postgresql":
        return rows
    # As a range: of a column with one value the order would be forgotten, and with it the index.
    same = rows.model._default_manager.filter(**{f"{column}__gte": value, f"{column}__lte": value})
    first = same.order_by(column, order).values_list(order, flat=True).first()
    last = same.order_by(f"-{column}", f"-{order}").values_list(order, flat=True).first()
    return rows if first is None else rows.filter(**{f"{order}__gte": first, f"{order}__lte": last})
