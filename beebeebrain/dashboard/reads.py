"""What the dashboard asks the database: a fixed number of questions, each with a bounded answer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property

from django.conf import settings
from django.db.models import Count, F, Min, Q, QuerySet, Sum, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from inbox.models import InboxItem
from llm.models import UsageDaily
from orchestration.models import Agent, Project, Task
from orchestration.states import AgentStatus, TaskStatus
from runtime import leases
from runtime.admin.progress import with_progress
from runtime.models import SchedulerInstance, Slot, TaskRun
from runtime.slots import GLOBAL
from runtime.states import RunStatus
from security.access import visible

# Rows that are named, and of the inbox of each type; lists have the rest.
NAMED = 8
NAMED_OF_TYPE = 5
NAMED_PROJECTS = 12
RECENT = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a project has spent today, what running work has reserved, and what it may spend, in USD."""

    project: Project
    spent: Decimal
    reserved: Decimal

    @property
    def budget(self) -> Decimal | None:
        return self.project.daily_budget_usd

    @property
    def is_used_up(self) -> bool:
        """Whether nothing more starts today."""
        return self.budget is not None and self.spent + self.reserved >= self.budget


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """When a scheduler was last seen, and whether that is lately."""

    seen_at: datetime | None
    is_alive: bool
    is_draining: bool


class Reads:
    """The numbers of one page view, for the projects that somebody may see. Each is asked for once."""

    def __init__(self, projects: frozenset[int] | None) -> None:
        self._seen = projects

    @cached_property
    def projects(self) -> list[Project]:
        """Projects that are not archived, by name."""
        return list(visible(Project.objects.filter(is_archived=False).order_by("name"), "pk", self._seen))

    @cached_property
    def counts(self) -> Mapping[int, Counter[str]]:
        """Tasks of each project by status; `ready` counts those of `todo` that could start."""
        found: dict[int, Counter[str]] = defaultdict(Counter)
        for row in self._tasks().values("project_id", "status").annotate(count=Count("id")).order_by():
            found[row["project_id"]][row["status"]] = row["count"]
        for ready in self._tasks(ready=True).values("project_id").annotate(count=Count("id")).order_by():
            found[ready["project_id"]]["ready"] = ready["count"]
        return found

    @cached_property
    def total(self) -> Counter[str]:
        """Tasks of all projects by status."""
        return sum(self.counts.values(), Counter())

    @cached_property
    def items(self) -> list[InboxItem]:
        """The oldest open items of each type; `of_type` of each says how many there are."""
        numbered = visible(InboxItem.objects.open(), "project", self._seen).annotate(
            number=Window(RowNumber(), partition_by=F("item_type"), order_by="id"),
            of_type=Window(Count("id"), partition_by=F("item_type")),
        )
        named = numbered.filter(number__lte=NAMED_OF_TYPE)
        return list(named.select_related("project").order_by("item_type", "id"))

    @cached_property
    def stuck(self) -> list[Task]:
        """Tasks that are blocked or have failed, the latest first."""
        rows = self._tasks().filter(status__in=[TaskStatus.BLOCKED, TaskStatus.FAILED])
        return list(rows.select_related("project").order_by("-updated_at")[:NAMED])

    @cached_property
    def running(self) -> list[TaskRun]:
        """Runs an agent works on, the longest first."""
        rows = with_progress(self._runs().filter(status=RunStatus.RUNNING))
        return list(rows.order_by("started_at")[: 2 * NAMED])

    @cached_property
    def failed(self) -> list[TaskRun]:
        """Runs that failed lately, the last first; `of_all` of each says how many there are."""
        rows = self._runs().filter(status=RunStatus.FAILED, ended_at__gte=timezone.now() - RECENT)
        return list(rows.annotate(of_all=Window(Count("id"))).order_by("-ended_at")[:NAMED])

    @cached_property
    def interrupted(self) -> tuple[int, datetime | None]:
        """How many runs are interrupted, and when the first of them was started."""
        rows = self._runs().filter(status=RunStatus.INTERRUPTED).order_by()
        found = rows.aggregate(count=Count("id"), since=Min("started_at"))
        return found["count"], found["since"]

    @cached_property
    def idle_agents(self) -> list[Agent]:
        """Paused agents that tasks wait for; `waiting` of each says how many."""
        waits = Count("tasks", filter=Q(tasks__status=TaskStatus.TODO, tasks__is_archived=False))
        paused = visible(Agent.objects.filter(status=AgentStatus.PAUSED), "project", self._seen)
        rows = paused.filter(project__is_archived=False).annotate(waiting=waits).filter(waiting__gt=0)
        return list(rows.select_related("project").order_by("-waiting", "id")[:NAMED])

    @cached_property
    def spent(self) -> list[Spent]:
        """What each project has spent today, the most first."""
        today = UsageDaily.objects.filter(date=timezone.now().date()).values("project_id").order_by()
        spent = {row["project_id"]: row["sum"] for row in today.annotate(sum=Sum("cost_usd"))}
        held = TaskRun.objects.holding_slots().values("task__project_id").order_by()
        reserved = {row["task__project_id"]: row["sum"] for row in held.annotate(sum=Sum("cost_cap_usd"))}
        rows = [
            Spent(
                project=project,
                spent=spent.get(project.pk) or Decimal(0),
                reserved=reserved.get(project.pk) or Decimal(0),
            )
            for project in self.projects
        ]
        return sorted(rows, key=lambda row: (row.spent, row.reserved), reverse=True)

    @cached_property
    def heartbeat(self) -> Heartbeat:
        last = SchedulerInstance.objects.order_by("-heartbeat_at").first()
        if last is None:
            return Heartbeat(seen_at=None, is_alive=False, is_draining=False)
        is_alive = last.heartbeat_at >= leases.now() - timedelta(seconds=3 * settings.LEASE_S)
        return Heartbeat(seen_at=last.heartbeat_at, is_alive=is_alive, is_draining=last.is_draining)

    @cached_property
    def slots(self) -> tuple[int, int]:
        """How many runs there are over all projects, and how many there may be."""
        running = Slot.objects.filter(key=GLOBAL).values_list("running", flat=True).first()
        return running or 0, settings.MAX_PARALLEL_RUNS

    def _tasks(self, *, ready: bool = False) -> QuerySet[Task]:
        rows = Task.objects.ready() if ready else Task.objects.all()
        return visible(rows, "project", self._seen).filter(is_archived=False, project__is_archived=False)

    def _runs(self) -> QuerySet[TaskRun]:
        return visible(TaskRun.objects.select_related("task__project", "agent"), "task__project", self._seen)
