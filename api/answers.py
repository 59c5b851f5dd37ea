"""Stored answers of commands, and how long they are kept. Apart from `api.idempotency`, so that a scheduler loads no web framework."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection
from django.utils import timezone

from security.models import IdempotentCommand

KEPT_FOR = timedelta(hours=24)
# Expired answers are forgotten a few at a time, by those who store new ones.
_FORGOTTEN_AT_ONCE = 50


def forget_expired(limit: int = _FORGOTTEN_AT_ONCE) -> None:
    """Forget stored answers whose time is over, the oldest first. Runs in a transaction."""
    expired = IdempotentCommand.objects.filter(expires_at__lte=timezone.now()).order_by("expires_at")
    if connection.vendor == "postgresql":
        expired = expired.select_for_update(skip_locked=True)
    doomed = list(expired.values_list("pk", flat=True)[:limit])
    IdempotentCommand.objects.filter(pk__in=doomed).delete()
