"""The right to run: acquired by a claim, renewed while the scheduler lives, then anybody's. Guarded UPDATEs only."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone

from runtime.models import TaskRun


def now() -> datetime:
    """Return the database's time: with several hosts only one clock may decide who is late."""
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        answer: datetime = cursor.fetchone()[0]
    return answer


def until(start: datetime) -> datetime:
    """Return the end of a lease that begins at `start`."""
    return start + timedelta(seconds=settings.LEASE_S)


def renew(owner: str) -> None:
    """Extend the lease on everything the scheduler runs, in one UPDATE."""
    TaskRun.objects.owned(owner).update(lease_until=until(now()))


def take_over(run: TaskRun, *, owner: str) -> bool:
    """Make an expired run one's own; False if its scheduler came back or another one was faster."""
    taken = (
        TaskRun.objects.holding_slots()
        .filter(pk=run.pk, epoch=run.epoch, owner=run.owner, lease_until=run.lease_until)
        .update(owner=owner, lease_until=until(now()))
    )
    if taken:
        run.refresh_from_db()
    return bool(taken)
