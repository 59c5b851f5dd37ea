"""Write the cost ledger and the breakers. For the ledger the caller's transaction decides that it happens exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce

from events import services as events
from events.states import EventType
from llm.models import Breaker, UsageDaily
from sql.prepared import PreparedUpdate

# Runs that hit one limit together hear of one reset time, each a little later than the last.
_SAME = timedelta(minutes=1)

_PLACE = ("date", "provider", "model", "project_id")
_TOKENS = ("token_in", "token_out", "token_cache_read", "token_cache_write")
_COUNTED = ("request_count", "run_count", *_TOKENS, "cost_usd")


def record_usage(
    *,
    day: date,
    provider: str,
    model: str,
    project_id: int,
    request_count: int = 0,
    run_count: int = 0,
    token_in: int = 0,
    token_out: int = 0,
    token_cache_read: int = 0,
    token_cache_write: int = 0,
    cost_usd: Decimal = Decimal(0),
) -> None:
    """Add to a day's use of a model."""
    place = (day, provider, model[:100], project_id)
    used = (request_count, run_count, token_in, token_out, token_cache_read, token_cache_write, cost_usd)
    if not _add(*place, *used):
        # The day's first; of two in one moment, one makes the row and both add to it.
        UsageDaily.objects.bulk_create([UsageDaily(**_at(place))], ignore_conflicts=True)
        _add(*place, *used)


def _at(place: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(_PLACE, place, strict=True))


def _used_more(*values: Any) -> tuple[QuerySet[UsageDaily], dict[str, Any]]:
    place, used = values[: len(_PLACE)], values[len(_PLACE) :]
    added = {name: F(name) + amount for name, amount in zip(_COUNTED, used, strict=True)}
    return UsageDaily.objects.filter(**_at(place)), added


_add = PreparedUpdate(_used_more)


@events.unit_of_work()
def open_breaker(
    *,
    provider: str,
    fingerprint: str,
    now: datetime,
    reset_at: datetime,
    code: str,
    message: str,
    actor: str,
    project_id: int | None = None,
    run_id: int | None = None,
) -> Breaker | None:
    """Keep back what would start with a credential, until `reset_at`; None when it is kept back so long already.

    The limit that its own trial meets moves the time in any case.
    """
    row, _ = Breaker.objects.get_or_create(provider=provider, fingerprint=fingerprint)
    is_news = Q(reset_at__isnull=True) | Q(reset_at__lt=reset_at - _SAME) | Q(trial_run_id=run_id)
    told = {"reset_at": reset_at, "code": code, "message": message, "trial_run_id": None, "trial_at": None}
    opened_at = Coalesce("opened_at", now)
    if not Breaker.objects.filter(is_news, pk=row.pk).update(**told, opened_at=opened_at, version=F("version") + 1):
        return None
    row.refresh_from_db()
    events.append(
        EventType.BREAKER_OPENED,
        project_id=project_id,
        run_id=run_id,
        actor=actor,
        breaker_id=row.pk,
        provider=provider,
        version=row.version,
        reset_at=reset_at.isoformat(),
        error_code=code,
    )
    return row


def begin_trial(breaker: Breaker, *, run_id: int, now: datetime) -> bool:
    """Make a run the one that tries; False when the breaker has changed since it was read."""
    rows = Breaker.objects.not_closed().filter(pk=breaker.pk, version=breaker.version)
    taken = rows.update(trial_run_id=run_id, trial_at=now, version=F("version") + 1)
    if taken:
        breaker.refresh_from_db()
    return bool(taken)


@events.unit_of_work()
def close_breaker(
    breaker: Breaker,
    *,
    actor: str,
    reason: str,
    project_id: int | None = None,
    run_id: int | None = None,
    expected_version: int | None = None,
) -> bool:
    """Let everything start again; False when it is closed already, or has another version than the one expected."""
    rows = Breaker.objects.not_closed().filter(pk=breaker.pk)
    if expected_version is not None:
        rows = rows.filter(version=expected_version)
    closed = rows.update(reset_at=None, opened_at=None, trial_run_id=None, trial_at=None, version=F("version") + 1)
    breaker.refresh_from_db()
    if closed:
        events.append(
            EventType.BREAKER_CLOSED,
            project_id=project_id,
            run_id=run_id,
            actor=actor,
            breaker_id=breaker.pk,
            provider=breaker.provider,
            version=breaker.version,
            reason=reason,
        )
    return bool(closed)
