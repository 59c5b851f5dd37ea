"""What runs have used up to now: what is settled, and what the start under way has reported in its log since."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Case, Exists, IntegerField, JSONField, OuterRef, Q, QuerySet, Subquery, When

from runtime.models import RunLog, TaskRun
from runtime.states import LogKind, RunStatus


@dataclass(frozen=True, kw_only=True)
class Used:
    """Turns, tokens and money of a run. A turn under way counts as its requests to the model so far."""

    turns: int
    token_in: int
    token_out: int
    cost_usd: Decimal


def with_progress(runs: QuerySet[TaskRun]) -> QuerySet[TaskRun]:
    """Return runs with, while they run, their last line about usage in `reported`.

    `is_restarted` tells that the client was started again since: that line is settled then.
    """
    last, running = _lines("usage").order_by("-seq"), Q(status=RunStatus.RUNNING)
    rows = runs.annotate(
        reported=Case(When(running, then=Subquery(last.values("body")[:1])), output_field=JSONField()),
        reported_seq=Case(When(running, then=Subquery(last.values("seq")[:1])), output_field=IntegerField()),
    )
    # Looks only behind that line: a log may be long.
    return rows.annotate(is_restarted=Exists(_lines("session").filter(seq__gt=OuterRef("reported_seq"))))


def used(run: TaskRun) -> Used:
    """Return what a run that was read `with_progress` has used up to now."""
    report = _report(run)
    return Used(
        turns=run.turns + int(max(report.get("turns", 0), report.get("request_count", 0))),
        token_in=run.token_in + int(report.get("token_in", 0)),
        token_out=run.token_out + int(report.get("token_out", 0)),
        cost_usd=run.cost_usd + Decimal(str(report.get("cost_usd", 0))),
    )


def _lines(type_: str) -> QuerySet[RunLog]:
    return RunLog.objects.filter(run=OuterRef("pk"), kind=LogKind.SYSTEM, body__type=type_)


def _report(run: Any) -> dict[str, Any]:
    """Return what the start under way has reported; what an earlier one did is settled."""
    report: dict[str, Any] = {} if run.reported is None or run.is_restarted else run.reported
    return report
