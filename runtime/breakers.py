"""Which credentials' usage limits keep runs from starting now.

An agent names a provider and no credential: it works with whatever the operator's settings on the host of its
scheduler give that provider. So a scheduler asks about the credentials it finds itself. Who is not on such a host, as
the web may be on PostgreSQL, cannot know them, and takes every breaker of the provider that is not closed for the one
in question.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime

from django.db import connection

from llm.credentials import fingerprint
from llm.models import Breaker
from runtime.models import TaskRun
from sql.prepared import PreparedQuery

_not_closed = PreparedQuery(Breaker.objects.not_closed)


def here() -> dict[str, Breaker]:
    """Return, by provider, the breakers that are not closed of the credentials that clients would find on this host."""
    return {row.provider: row for row in _not_closed() if row.fingerprint == fingerprint(row.provider, os.environ)}


def as_far_as_known() -> dict[str, Breaker]:
    """Return the same from wherever this is; of several breakers, the one that is reset last."""
    if connection.vendor == "sqlite":
        return here()
    return {row.provider: row for row in Breaker.objects.not_closed().order_by("reset_at")}


def keeping_back(breakers: Mapping[str, Breaker], now: datetime) -> dict[str, Breaker]:
    """Return those that let nothing start: it is too early, or a run tries already."""
    return {provider: breaker for provider, breaker in breakers.items() if keeps_back(breaker, now)}


def keeps_back(breaker: Breaker, now: datetime) -> bool:
    """Tell whether nothing may start with a breaker's credential. One that is closed does not come here."""
    return (breaker.reset_at is not None and breaker.reset_at > now) or _is_being_tried(breaker)


def _is_being_tried(breaker: Breaker) -> bool:
    """A trial that was given back, or whose end taught nothing, holds no slot any more: then it is another one's turn."""
    return breaker.trial_run_id is not None and TaskRun.objects.holding_slots().filter(pk=breaker.trial_run_id).exists()
