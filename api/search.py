"""Text that is looked for in columns of JSON. No index answers that: whoever offers it says how little is looked through."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast
from django.utils import timezone

TOO_WIDE = "search_too_wide"
LONGEST = timedelta(days=1)
"""What happened within so much time may be looked through."""


def is_short(since: datetime | None, until: datetime | None) -> bool:
    """Tell whether a stretch of time is short enough to look through; one without an end goes on until now."""
    return since is not None and (until or timezone.now()) - since <= LONGEST


def containing(rows: QuerySet[Any], column: str, text: str) -> Any:
    """Return the rows whose JSON holds the text somewhere, as it is written there; ASCII letters of either case are the same."""
    # SQLite keeps JSON as Django writes it, in ASCII; PostgreSQL gives it back with the characters themselves.
    written = json.dumps(text, ensure_ascii=connection.vendor == "sqlite")[1:-1]
    return rows.alias(said=Cast(column, TextField())).filter(said__icontains=written)
