"""How busy agents are, and with what success."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Count, DecimalField, IntegerField, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from orchestration.models import Agent, Task
from orchestration.states import TaskStatus
from runtime import clients
from runtime.models import TaskRun
from runtime.states import RunStatus

_MONEY: DecimalField[Any, Any] = DecimalField(max_digits=14, decimal_places=6)


def with_load(agents: QuerySet[Agent]) -> QuerySet[Agent]:
    """Return agents with `running`, `queued`, `waiting`, `cost_today`, and `failed_run`, `failed_code`, `failed_at`.

    Running counts what holds a slot; queued, runs that will go on: to be retried, interrupted, or without a scheduler
    yet; waiting, tasks that name the agent and have not begun. The cost is that of the runs that were started today.
    """
    runs = TaskRun.objects.filter(agent=OuterRef("pk")).order_by()
    holding = TaskRun.objects.holding_slots().filter(agent=OuterRef("pk")).order_by()
    queued = TaskRun.objects.active().filter(agent=OuterRef("pk")).exclude(pk__in=TaskRun.objects.holding_slots())
    waiting = Task.objects.filter(assignee=OuterRef("pk"), status=TaskStatus.TODO, is_archived=False).order_by()
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    # By id, since an index has an agent's runs in that order: only the last ones are looked at.
    failed = runs.filter(status=RunStatus.FAILED).order_by("-id")
    return agents.annotate(
        running=_count(holding, "agent"),
        queued=_count(queued.order_by(), "agent"),
        waiting=_count(waiting, "assignee"),
        cost_today=_sum(runs.filter(started_at__gte=midnight)),
        failed_run=Subquery(failed.values("pk")[:1]),
        failed_code=Subquery(failed.values("error_code")[:1]),
        failed_at=Subquery(failed.values("ended_at")[:1]),
    )


def client_refusal(provider: str) -> str | None:
    """Return why a provider's client cannot work, "" when it can; None where that is another host's business."""
    if connection.vendor != "sqlite":
        return None
    error = clients.refusal(provider)
    return str(error) if error else ""


def _count(rows: QuerySet[Any], name: str) -> Coalesce:
    counted = Subquery(rows.values(name).annotate(n=Count("pk")).values("n"), output_field=IntegerField())
    return Coalesce(counted, 0)


def _sum(runs: QuerySet[TaskRun]) -> Coalesce:
    cost = runs.values("agent").annotate(sum=Sum("cost_usd")).values("sum")
    return Coalesce(Subquery(cost, output_field=_MONEY), Decimal(0), output_field=_MONEY)
