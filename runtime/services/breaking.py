"""Open and close breakers by what runs find out about their credentials, and tell the inbox."""

from __future__ import annotations

import os
from collections.abc import Collection
from datetime import timedelta

from events import services as events
from inbox import services as inbox
from inbox.states import ItemType
from llm.credentials import fingerprint
from llm.models import Breaker
from llm.services import close_breaker, open_breaker
from orchestration.services.rows import stale
from runtime import leases, retries
from runtime.models import RunLog, TaskRun
from runtime.rundir import ExitRecord
from runtime.states import LogKind
from sql.prepared import PreparedQuery

_tried_by = PreparedQuery(lambda runs: Breaker.objects.not_closed().filter(trial_run_id__in=runs))

# Whatever such a run was about, its provider has answered it.
_ANSWERED = frozenset({"finished", "unreported", "blocked", "parked"})


def heed_ends(ends: Collection[tuple[TaskRun, ExitRecord]], *, actor: str) -> None:
    """Open the breakers of runs' credentials, or close those that the runs have tried. Runs inside `finishing`.

    An end before the provider's first answer, such as a cancel or a crash, teaches nothing: then another run tries.
    """
    answered = {}
    for run, record in ends:
        limit_s = retries.limit_s(record)
        if limit_s is not None:
            _open(run, record, limit_s, actor=actor)
        elif record.outcome in _ANSWERED or record.usage.token_out > 0:
            answered[run.pk] = run
    if answered:
        for breaker in _tried_by(list(answered)):
            _close(breaker, answered[breaker.trial_run_id or 0], actor=actor)


def close_answered(*, actor: str) -> int:
    """Close the breakers whose trials are being answered, without waiting for their ends; return how many."""
    tried = Breaker.objects.not_closed().filter(trial_run_id__isnull=False)
    return sum(_close_if_answered(breaker, actor=actor) for breaker in tried)


@events.unit_of_work()
def reset_breaker(breaker: Breaker, *, actor: str, expected_version: int | None = None) -> Breaker:
    """Let everything start again, because a person knows better than the provider's last word. Raises VersionConflict."""
    is_closed = close_breaker(breaker, actor=actor, reason="reset", expected_version=expected_version)
    if not is_closed and expected_version not in (None, breaker.version):
        raise stale(breaker)
    _close_alert(breaker, actor=actor)
    return breaker


def _open(run: TaskRun, record: ExitRecord, limit_s: float, *, actor: str) -> None:
    now = leases.now()
    breaker = open_breaker(
        provider=run.agent.provider,
        fingerprint=run.credential or fingerprint(run.agent.provider, os.environ),
        now=now,
        reset_at=now + timedelta(seconds=limit_s),
        code=record.code,
        message=record.message,
        actor=actor,
        project_id=run.task.project_id,
        run_id=run.pk,
    )
    if breaker is None:
        return
    _close_alert(breaker, actor=actor)  # it names an earlier time
    inbox.ask(
        ItemType.ALERT,
        project=run.task.project,
        title=f"Usage limit reached: {breaker.provider}",
        content=_told(breaker),
        dedupe_key=_key(breaker),
        run_id=run.pk,
        actor=actor,
        trace_id=run.trace_id,
    )


def _told(breaker: Breaker) -> str:
    until = f"{breaker.reset_at:%Y-%m-%d %H:%M:%S} UTC"
    return (
        f"{breaker.code}: {breaker.message}\n\nNo agent of {breaker.provider} starts with this credential before {until}; "
        "then one run tries, and the others follow when it is answered. No attempt is spent on it. If the limit is over "
        f"earlier, reset breaker {breaker.pk}; or give the scheduler another credential."
    )


@events.unit_of_work()
def _close_if_answered(breaker: Breaker, *, actor: str) -> bool:
    run = TaskRun.objects.filter(pk=breaker.trial_run_id or 0).select_related("task").first()
    if run is None or not _is_answered(run, breaker):
        return False
    return _close(breaker, run, actor=actor)


def _is_answered(run: TaskRun, breaker: Breaker) -> bool:
    """Tell whether the provider has said anything to the run since it began to try."""
    lines = RunLog.objects.filter(run=run, kind=LogKind.SYSTEM, at__gte=breaker.trial_at)
    return lines.filter(body__type="usage", body__token_out__gt=0).exists()


def _close(breaker: Breaker, run: TaskRun, *, actor: str) -> bool:
    closed = close_breaker(breaker, actor=actor, reason="trial", project_id=run.task.project_id, run_id=run.pk)
    if closed:
        _close_alert(breaker, actor=actor)
    return closed


def _close_alert(breaker: Breaker, *, actor: str) -> None:
    inbox.close_by_key(_key(breaker), actor=actor)


def _key(breaker: Breaker) -> str:
    return f"breaker:{breaker.pk}"
