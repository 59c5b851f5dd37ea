"""What runs have used up to now: what is settled, and what the start under way has reported in its log since."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import IntegerField, JSONField, OuterRef, QuerySet, Subquery

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
    """Return runs with the last line about usage in `reported`, and where that and the client's start stand in the log."""
    return runs.annotate(
        reported=Subquery(_last("usage").values("body")[:1], output_field=JSONField()),
        reported_seq=Subquery(_last("usage").values("seq")[:1], output_field=IntegerField()),
        session_seq=Subquery(_last("session").values("seq")[:1], output_field=IntegerField()),
    )


def used(run: TaskRun) -> Used:
    """Return what a run that was read `with_progress` has used up to now."""
    report = _report(run) if run.status == RunStatus.RUNNING else {}
    return Used(
        turns=run.turns + int(max(report.get("turns", 0), report.get("request_count", 0))),
        token_in=run.token_in + int(report.get("token_in", 0)),
        token_out=run.token_out + int(report.get("token_out", 0)),
        cost_usd=run.cost_usd + Decimal(str(report.get("cost_usd", 0))),
    )


def _last(type_: str) -> QuerySet[RunLog]:
    lines = RunLog.objects.filter(run=OuterRef("pk"), kind=LogKind.SYSTEM, body__type=type_)
    return lines.order_by("-seq")


def _report(run: Any) -> dict[str, Any]:
    """Return what the start under way has reported; what an earlier one did is settled."""
    if run.reported is None or run.reported_seq < (run.session_seq or 0):
        return {}
    report: dict[str, Any] = run.reported
    return report
