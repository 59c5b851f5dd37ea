"""Duties: what one scheduler at a time does for all of them, every so often, behind a lease in the database.

Two at once would do no harm, only the same work twice; so the lease is enough, and nothing here is fenced.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import Q

from api import answers
from events import chain, retention
from events import services as events
from events.states import EventType
from runtime import invariants, leases, schedulers
from runtime import retention as run_retention
from runtime.database import DATABASE_AWAY
from runtime.hosts import host_id
from runtime.models import Duty

log = structlog.get_logger("bbb.runtime")

# After its start a scheduler has better things to do; only then it looks for the first time what is due.
_FIRST_LOOK_S = 30.0
# A long write transaction starves the other writers; who stores an answer forgets some as well.
_FORGOTTEN = 1000
# Runs wait while what is kept no longer goes: so long at a time.
_PRUNING_S = 0.5
# So many rows are told of by name.
_NAMED = 20


@dataclass(frozen=True)
class Chore:
    """A duty: its name, how often in seconds, and what to do in whose name."""

    name: str
    every_s: float
    do: Callable[[str], object]


def chores() -> list[Chore]:
    """Return the duties of every installation, and those of this host."""
    # Of several hosts each has run directories of its own.
    own = Chore(f"run_files:{host_id()}"[:40], 120, tidy_run_files)
    return [Chore("retention", 600, retain), Chore("prune", 60, prune), Chore("audit", 6 * 3600, audit), own]


class Duties:
    """What one scheduler knows of the duties. When nothing can be due it asks nobody."""

    def __init__(self, chores: Iterable[Chore], *, owner: str) -> None:
        self._chores = list(chores)
        self._owner = owner
        start = time.monotonic()
        self._next_look = {chore.name: start + min(chore.every_s, _FIRST_LOOK_S) for chore in self._chores}

    def run_due(self) -> list[str]:
        """Do what is due and not done by another scheduler; return the names."""
        due = [chore for chore in self._chores if self._next_look[chore.name] <= time.monotonic()]
        return [chore.name for chore in due if self._look_at(chore)]

    def _look_at(self, chore: Chore) -> bool:
        # Should the database go away in the middle, the others have their turn before it is tried again.
        self._next_look[chore.name] = time.monotonic() + min(chore.every_s, _FIRST_LOOK_S)
        now = leases.now()
        taken = self._take(chore, now)
        if taken:
            _do(chore, f"scheduler:{self._owner}")
            self._put_down(chore)
        next_at = max(Duty.objects.values_list("due_at", "until").get(name=chore.name))
        wait_s = max(1.0, (next_at - leases.now()).total_seconds())
        self._next_look[chore.name] = time.monotonic() + min(wait_s, chore.every_s)
        return taken

    def _take(self, chore: Chore, now: datetime) -> bool:
        # What is ours was cut off by a database that went away; our renewals would keep it from everybody for ever.
        is_free = Q(until__lte=now) | Q(owner=self._owner)
        free = Duty.objects.filter(is_free, name=chore.name, due_at__lte=now)
        if free.update(owner=self._owner, until=leases.until(now)):
            return True
        Duty.objects.bulk_create([Duty(name=chore.name, until=now, due_at=now)], ignore_conflicts=True)
        return bool(free.update(owner=self._owner, until=leases.until(now)))

    def _put_down(self, chore: Chore) -> None:
        """Say when it is due again. If it took longer than its lease and has another owner by now, that one says so."""
        now = leases.now()
        mine = Duty.objects.filter(name=chore.name, owner=self._owner)
        mine.update(owner="", until=now, due_at=now + timedelta(seconds=chore.every_s))


def _do(chore: Chore, actor: str) -> None:
    try:
        chore.do(actor)
    except DATABASE_AWAY:
        raise
    except Exception:
        # One that fails is tried again at its next time, and keeps no run waiting.
        log.exception("duty_failed", duty=chore.name)


def retain(actor: str) -> None:
    """Forget what has expired: stored answers of commands, schedulers that are long gone."""
    with transaction.atomic():
        answers.forget_expired(_FORGOTTEN)
    schedulers.forget_long_gone()


def prune(actor: str) -> None:
    """Remove a few batches of what is kept no longer: other work waits meanwhile."""
    pruned = retention.prune(actor=actor, within_s=_PRUNING_S)
    lines = run_retention.prune_lines(within_s=_PRUNING_S)
    used = run_retention.prune_use(within_s=_PRUNING_S)
    if pruned or lines or used:
        log.info("log_pruned", events=pruned, lines=lines, used=used)


def tidy_run_files(actor: str) -> None:
    """Compress what runs left on this host, and remove what is kept no longer."""
    for care in run_retention.cares():
        if runs := care.take():
            log.info("run_files_tidied", runs=runs, outcome=care.name)


def audit(actor: str) -> None:
    """Say when the tables do not keep their promises to each other. `check_invariants --repair` mends them."""
    # In the process's own log, out of reach of who writes the database: `verify_audit --expect` takes it.
    log.info("audit_chain", end=str(chain.head()))
    found = invariants.differences()
    if not found:
        return
    log.error("invariants_broken", count=len(found), rows=[str(one) for one in found[:_NAMED]])
    with events.unit_of_work():
        events.append(
            EventType.ALERT_RAISED,
            project_id=None,
            actor=actor,
            kind="invariants",
            message=f"{len(found)} values in the database do not hold. Look at `manage.py check_invariants`.",
            details={"rows": [str(one) for one in found[:_NAMED]]},
        )
