"""What is kept of runs that are over: the lines of their logs in the database, what they used, and their run directories here.

Lines go KEEP_RUN_LOGS_DAYS after the end of their run, in small batches with time for others between them. So does, after a month,
what daily limits were held against: only today's is ever read, the ledger (`llm.models.UsageDaily`) has the rest. `events.jsonl` is
compressed after COMPRESS_RUN_FILES_DAYS, and the whole directory goes after KEEP_RUN_FILES_DAYS; 0 means never.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from runtime.models import DayUse, RunLog, RunLogQuerySet, RunQuerySet, TaskRun
from runtime.rundir import RunDirectory
from runtime.states import FINAL

BATCH = 500
PAUSE_S = 0.02
# Somebody may want to see why nothing was started on a day.
KEEP_USE_DAYS = 31
# So many runs have their directories looked at at once.
_RUNS = 200
_MARKS = ".kept.json"
_Place = tuple[str, int]
# Compressing keeps a scheduler from its other work: so many bytes at a time.
_ENOUGH = 32 * 1024 * 1024


def old_lines(now: datetime | None = None) -> RunLogQuerySet:
    """Return the lines that are to go, the oldest first: all those of runs that ended long ago."""
    days = settings.KEEP_RUN_LOGS_DAYS
    if not days:
        return RunLog.objects.none()
    before = (now or timezone.now()) - timedelta(days=days)
    # Said before the run ended: an index finds the oldest lines.
    over = {"run__status__in": sorted(FINAL), "run__ended_at__lt": before}
    return RunLog.objects.filter(at__lt=before, **over).order_by("at", "id")


def old_use(now: datetime | None = None) -> QuerySet[DayUse]:
    """Return what was used on days that are long over, the oldest first."""
    before = (now or timezone.now()) - timedelta(days=KEEP_USE_DAYS)
    return DayUse.objects.filter(day__lt=before.date()).order_by("day", "key")


def prune_lines(*, batch: int = BATCH, pause_s: float = PAUSE_S, within_s: float = math.inf) -> int:
    """Remove old lines, or what of them the time allows, a batch at least; return how many lines that were."""
    return _prune(old_lines, batch, pause_s, within_s)


def prune_use(*, batch: int = BATCH, pause_s: float = PAUSE_S, within_s: float = math.inf) -> int:
    """Remove what was used on days long over, in the same way."""
    return _prune(old_use, batch, pause_s, within_s)


def _prune(old: Callable[[], QuerySet[Any]], batch: int, pause_s: float, within_s: float) -> int:
    pruned, until = 0, time.monotonic() + within_s
    while ids := list(old().values_list("pk", flat=True)[:batch]):
        pruned += old().model._default_manager.filter(pk__in=ids).delete()[0]
        if time.monotonic() >= until:
            break
        time.sleep(pause_s)
    return pruned


@dataclass(frozen=True)
class Care:
    """What is done to the directories of runs that ended so many days ago, on this host."""

    name: str
    days: int
    is_due: Callable[[RunDirectory], bool]
    do: Callable[[RunDirectory], int]

    def due(self, now: datetime | None = None) -> Iterator[tuple[TaskRun, list[RunDirectory]]]:
        """Yield the runs that are due, in the order in which they ended, each with those directories to which it is yet to be done."""
        if not self.days:
            return
        over = _over().filter(ended_at__lt=(now or timezone.now()) - timedelta(days=self.days))
        reached = _marks().get(self.name)
        while runs := list(_behind(over, reached)[:_RUNS]):
            for run in runs:
                yield run, [directory for directory in _directories(run) if self.is_due(directory)]
            reached = _place(runs[-1])

    def take(self) -> int:
        """Do it to the directories of the next runs, until that was enough; return of how many runs, 0 when none is due."""
        runs = size = 0
        for run, directories in islice(self.due(), _RUNS):
            size += sum(self.do(directory) for directory in directories)
            runs += 1
            # What is done already is not looked for again. Where that is lost it is soon seen.
            _mark(self.name, run)
            if size >= _ENOUGH:
                break
        return runs


def cares() -> list[Care]:
    """Return what the settings say is done to run directories."""
    return [
        Care("compressed", settings.COMPRESS_RUN_FILES_DAYS, _has_plain_events, RunDirectory.compress),
        Care("removed", settings.KEEP_RUN_FILES_DAYS, lambda _directory: True, _remove),
    ]


def _has_plain_events(directory: RunDirectory) -> bool:
    return directory.events_path.exists()


def _remove(directory: RunDirectory) -> int:
    directory.remove()
    return 0


def _behind(runs: RunQuerySet, reached: _Place | None) -> RunQuerySet:
    if reached:
        ended_at, id_ = reached
        runs = runs.filter(Q(ended_at=ended_at, pk__gt=id_) | Q(ended_at__gt=ended_at))
    return runs.order_by("ended_at", "pk")


def _place(run: TaskRun) -> _Place:
    assert run.ended_at is not None, "only runs that have ended are taken care of"  # noqa: S101 # for the type checker
    return run.ended_at.isoformat(), run.pk


def _over() -> RunQuerySet:
    """Return runs that are over for good and had their last directory in this installation's folder."""
    return TaskRun.objects.filter(status__in=sorted(FINAL), ended_at__isnull=False, run_dir__startswith=f"{_root()}/")


def _directories(run: TaskRun) -> list[RunDirectory]:
    """Return the directories of all starts of a run that are there."""
    found = (RunDirectory(_root() / f"{run.pk}.{epoch}") for epoch in range(run.epoch + 1))
    return [directory for directory in found if directory.path.is_dir()]


def _root() -> Path:
    root: Path = settings.BBB_HOME / "runs"
    return root


def _marks() -> dict[str, _Place]:
    """Return which run each care was taken of last, on this host: when it ended, and its id."""
    try:
        found = json.loads((_root() / _MARKS).read_bytes())
        return {name: (datetime.fromisoformat(at).isoformat(), int(id_)) for name, (at, id_) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _mark(name: str, run: TaskRun) -> None:
    marks = _marks() | {name: _place(run)}
    target = _root() / _MARKS
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = target.with_name(f"{_MARKS}.new")
    draft.write_text(json.dumps(marks))
    draft.replace(target)
