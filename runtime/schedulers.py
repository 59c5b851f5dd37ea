"""The rows of schedulers: who is there, since when, and whether a second host may join."""

from __future__ import annotations

import os
import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection

from runtime import leases
from runtime.hosts import host_id
from runtime.models import SchedulerInstance
from runtime.processes import boot_id, start_ticks


class SecondHost(Exception):
    """Another host runs a scheduler on this SQLite file. SQLite serves one host: use PostgreSQL (DATABASE_URL)."""


def register() -> SchedulerInstance:
    """Enter this process as a scheduler. Raises SecondHost."""
    refuse_second_host()
    now = leases.now()
    return SchedulerInstance.objects.create(
        id=uuid.uuid4().hex,
        host_id=host_id(),
        boot_id=boot_id(),
        pid=os.getpid(),
        pid_start_ticks=start_ticks(os.getpid()) or 0,
        started_at=now,
        heartbeat_at=now,
    )


def beat(scheduler: SchedulerInstance, *, is_draining: bool) -> datetime:
    """Say that this scheduler lives, and extend its leases. Returns the database's time."""
    now = leases.now()
    shown = {"heartbeat_at": now, "is_draining": is_draining}
    SchedulerInstance.objects.update_or_create(
        pk=scheduler.pk,
        defaults=shown,
        create_defaults={
            "host_id": scheduler.host_id,
            "boot_id": scheduler.boot_id,
            "pid": scheduler.pid,
            "pid_start_ticks": scheduler.pid_start_ticks,
            "started_at": scheduler.started_at,
            **shown,
        },
    )
    leases.renew(scheduler.pk)
    return now


def leave(scheduler: SchedulerInstance) -> None:
    """Take this scheduler off the list, and old ones that never did so themselves. What it ran is anybody's at once."""
    leases.release(scheduler.pk)
    SchedulerInstance.objects.filter(pk=scheduler.pk).delete()
    forget_long_gone()


def forget_long_gone() -> None:
    """Take schedulers off the list that have not shown themselves for a week."""
    SchedulerInstance.objects.filter(heartbeat_at__lt=leases.now() - timedelta(days=7)).delete()


def seen_lately() -> bool:
    """Tell whether any scheduler has shown itself within three leases."""
    since = leases.now() - timedelta(seconds=3 * settings.LEASE_S)
    return SchedulerInstance.objects.filter(heartbeat_at__gte=since).exists()


def refuse_second_host() -> None:
    """Raise SecondHost if a scheduler of another host works on this SQLite file."""
    if connection.vendor != "sqlite":
        return
    since = leases.now() - timedelta(seconds=3 * settings.LEASE_S)
    if SchedulerInstance.objects.filter(heartbeat_at__gte=since).exclude(host_id=host_id()).exists():
        raise SecondHost(SecondHost.__doc__)
