"""The right to run: acquired by a claim, renewed while the scheduler lives, then anybody's. Guarded UPDATEs only."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from runtime.models import Duty, TaskRun


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
    """Extend the lease on everything the scheduler runs, in one UPDATE, and on the duty it is at.

    The rows are locked in the order of their ids, so that no two ever wait for each other; and what somebody writes to
    at this moment is left to the next renewal: one transaction that hangs must not cost the leases of all the others.
    """
    mine = TaskRun.objects.owned(owner).order_by("pk").select_for_update(skip_locked=True, no_key=True)
    with transaction.atomic():
        TaskRun.objects.filter(pk__in=mine.values("pk")).update(lease_until=until(now()))
        Duty.objects.filter(owner=owner).update(until=until(now()))


def release(owner: str) -> None:
    """End the leases of a scheduler that leaves: what it ran is anybody's at once."""
    mine = TaskRun.objects.owned(owner).order_by("pk").select_for_update(no_key=True)
    with transaction.atomic():
        TaskRun.objects.filter(pk__in=mine.values("pk")).update(lease_until=now())


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
