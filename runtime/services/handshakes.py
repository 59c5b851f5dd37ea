"""The handshake: a claimed run becomes a running one, in the name of the scheduler that claimed it. Whoever loses it starts nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from django.db.models import F, QuerySet, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from events import services as events
from llm.credentials import fingerprint
from orchestration.scheduler import Choice
from runtime.exceptions import StaleRun
from runtime.hosts import host_id
from runtime.models import TaskRun
from runtime.processes import boot_id
from runtime.services.claims import claim
from runtime.services.moves import record_move, remember
from runtime.states import RunStatus
from sql.prepared import PreparedUpdate


@events.unit_of_work()
def begin(choices: Iterable[Choice], *, owner: str) -> list[TaskRun]:
    """Claim what the plan chose and shake hands for it, in one transaction: nobody can come between. Answers what is to be launched."""
    runs = claim(choices, owner=owner)
    shake_hands(runs)
    return runs


def shake_hands(runs: Sequence[TaskRun]) -> None:
    """Make the handshake `queued → running` of claimed runs, all or none, in the caller's unit of work.

    One UPDATE does it where the starts are alike. Raises StaleRun when one of them has been superseded.
    """
    for alike in _alike(runs):
        provider, epoch, owner = _start(alike[0])
        here = timezone.now(), host_id(), boot_id(), fingerprint(provider, os.environ)
        if _begin([run.pk for run in alike], epoch, owner, *here) < len(alike):
            raise StaleRun
        written = _written(*here)
        for run in alike:
            remember(run, written)
    for run in runs:
        record_move(run, before=RunStatus.QUEUED, actor=f"scheduler:{run.owner}")


def _alike(runs: Sequence[TaskRun]) -> Iterator[list[TaskRun]]:
    for _, alike in groupby(sorted(runs, key=_start), key=_start):
        yield list(alike)


def _start(run: TaskRun) -> tuple[str, int, str]:
    return run.agent.provider, run.epoch, run.owner


def _written(now: datetime, host: str, boot: str, credential: str) -> dict[str, Any]:
    return {
        "status": RunStatus.RUNNING,
        "version": F("version") + 1,
        "next_retry_at": None,
        "started_at": Coalesce("started_at", Value(now)),
        "host_id": host,
        "boot_id": boot,
        "log_offset": 0,
        "credential": credential,
    }


def _begun(
    ids: Sequence[int], epoch: int, owner: str, now: datetime, host: str, boot: str, credential: str
) -> tuple[QuerySet[TaskRun], dict[str, Any]]:
    rows = TaskRun.objects.owned(owner).filter(pk__in=ids, status=RunStatus.QUEUED, epoch=epoch)
    return rows, _written(now, host, boot, credential)


_begin = PreparedUpdate(_begun)
