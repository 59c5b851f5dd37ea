"""The first page of the admin: what needs attention, what goes on, what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.timesince import timesince

from beebeebrain.dashboard import tables
from beebeebrain.dashboard.reads import NAMED_PROJECTS, Reads
from beebeebrain.dashboard.tables import Table
from inbox.admin import KINDS
from inbox.models import InboxItem
from llm.models import UsageDaily
from orchestration.models import Agent, Project, Task
from orchestration.states import TaskStatus
from runtime.models import SchedulerInstance, TaskRun
from security.admin.base import has_role, seen_projects
from security.admin.shown import changelist_url, page_url, usd
from security.roles import Role


@dataclass(frozen=True, kw_only=True)
class Sign:
    """A number that says how things are, and where to look."""

    title: str
    value: str
    more: str
    url: str
    is_urgent: bool = False


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something that is not as it should be, and where to see to it: addresses with their texts."""

    text: str
    links: list[tuple[str, str]]
    is_urgent: bool = False


@dataclass(frozen=True, kw_only=True)
class Section:
    """A table under its title; `more` leads to the whole list, `parts` to parts of it."""

    title: str
    table: Table
    more_url: str
    more: str = "All"
    parts: Sequence[tuple[str, str]] = ()


def context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the dashboard to the context of the admin's first page, for those who have a role."""
    if has_role(request, Role.VIEWER):
        context |= dashboard(request, Reads(seen_projects(request)))
    return context


def dashboard(request: HttpRequest, reads: Reads) -> dict[str, Any]:
    """Return what the template shows."""
    return {
        "signs": list(_signs(reads)),
        "notices": list(_notices(request, reads)),
        "inbox": _inbox(reads) if reads.items else None,
        "stuck": _stuck(reads),
        "running": _running(reads) if reads.running else None,
        "failed": _failed(reads),
        "statuses": tables.statuses(reads) if reads.projects else None,
        "costs": tables.costs(reads.spent[:NAMED_PROJECTS]),
        "usage_url": changelist_url(UsageDaily),
        "has_dashboard": True,
    }


def _signs(reads: Reads) -> Iterator[Sign]:
    total, (running, cap) = reads.total, reads.slots
    waiting = sum(items[0].of_type for items in _by_type(reads).values())  # type: ignore[attr-defined]
    stuck = total[TaskStatus.BLOCKED] + total[TaskStatus.FAILED]
    yield _sign("Waiting for you", waiting, _oldest(reads), InboxItem, is_urgent=waiting > 0, status__exact="open")
    yield _sign("In review", total[TaskStatus.REVIEW], "tasks", Task, status__exact="review")
    yield _sign("Blocked or failed", stuck, "tasks", Task, is_urgent=stuck > 0, view="attention")
    yield _sign("Running", running, f"of {cap:,} at once", TaskRun, status__exact="running")
    yield _sign("Ready", total["ready"], "tasks", Task, view="ready")
    yield _cost(reads)


def _sign(
    title: str, number: int, more: str, model: type[Model], *, is_urgent: bool = False, **filters: str | int
) -> Sign:
    url = changelist_url(model, **filters)
    return Sign(title=title, value=f"{number:,}", more=more, url=url, is_urgent=is_urgent)


def _cost(reads: Reads) -> Sign:
    spent = sum((row.spent for row in reads.spent), Decimal(0))
    reserved = sum((row.reserved for row in reads.spent), Decimal(0))
    more = f"and {usd(reserved)} reserved" if reserved else "in all projects"
    return Sign(title="Cost today", value=usd(spent), more=more, url=changelist_url(UsageDaily))


def _notices(request: HttpRequest, reads: Reads) -> Iterator[Notice]:
    yield from _scheduler(reads)
    if not reads.projects and admin.site._registry[Project].has_add_permission(request):
        add = (reverse("admin:orchestration_project_add"), "Add a project")
        yield Notice(
            text="There is no project yet. Add one, then an agent and tasks: they start by themselves.", links=[add]
        )
    count, since = reads.interrupted
    if count:
        text = f"{_runs(count)} interrupted{f', the first started {timesince(since, depth=1)} ago' if since else ''}."
        yield Notice(text=text, links=[(changelist_url(TaskRun, status__exact="interrupted"), "Look")])
    if paused := [project for project in reads.projects if project.is_paused]:
        links = [(page_url(Project, project.pk), project.name) for project in paused[:NAMED_PROJECTS]]
        yield Notice(text="Nothing new starts in projects that are paused:", links=links)
    if reads.idle_agents:
        links = [(page_url(Agent, agent.pk), _waited_for(agent)) for agent in reads.idle_agents]
        yield Notice(text="Tasks wait for agents that are paused:", links=links)
    if used_up := [row.project for row in reads.spent if row.is_used_up]:
        links = [(page_url(Project, project.pk), project.name) for project in used_up[:NAMED_PROJECTS]]
        yield Notice(text="Nothing new starts today, the budget is used up or reserved:", links=links)


def _waited_for(agent: Agent) -> str:
    waiting: int = agent.waiting  # type: ignore[attr-defined]
    return f"{agent.name} of {agent.project.name} ({waiting:,})"


def _scheduler(reads: Reads) -> Iterator[Notice]:
    heartbeat = reads.heartbeat
    if heartbeat.is_alive and not heartbeat.is_draining:
        return
    if heartbeat.is_alive:
        text = "The scheduler is being stopped: what runs goes on, nothing new starts."
    else:
        seen = f"for {timesince(heartbeat.seen_at, depth=1)}" if heartbeat.seen_at else "yet"
        text = f"No scheduler has been seen {seen}: nothing starts until one runs (manage.py runscheduler)."
    links = [(changelist_url(SchedulerInstance), "Schedulers")]
    yield Notice(text=text, links=links, is_urgent=not heartbeat.is_alive)


def _inbox(reads: Reads) -> Section:
    found = _by_type(reads)
    counts = {kind: found[kind][0].of_type for kind in KINDS if kind in found}  # type: ignore[attr-defined]
    parts = [
        (changelist_url(InboxItem, status__exact="open", item_type__exact=kind), f"{KINDS[kind][0]}s: {count:,}")
        for kind, count in counts.items()
    ]
    return Section(
        title="Needs you",
        table=tables.items(item for kind in counts for item in found[kind]),
        more_url=changelist_url(InboxItem, status__exact="open"),
        more=_more(sum(counts.values()), len(reads.items)),
        parts=parts,
    )


def _stuck(reads: Reads) -> Section | None:
    if not reads.stuck:
        return None
    count = reads.total[TaskStatus.BLOCKED] + reads.total[TaskStatus.FAILED]
    return Section(
        title="Blocked or failed",
        table=tables.stuck(reads.stuck),
        more_url=changelist_url(Task, view="attention"),
        more=_more(count, len(reads.stuck)),
    )


def _running(reads: Reads) -> Section:
    return Section(
        title="Running now",
        table=tables.running(reads.running),
        more_url=changelist_url(TaskRun, status__exact="running"),
    )


def _failed(reads: Reads) -> Section | None:
    if not reads.failed:
        return None
    count: int = reads.failed[0].of_all  # type: ignore[attr-defined]
    return Section(
        title="Runs that failed in the last 24 hours",
        table=tables.failed(reads.failed),
        more_url=changelist_url(TaskRun, status__exact="failed"),
        more=_more(count, len(reads.failed)),
    )


def _by_type(reads: Reads) -> dict[str, list[InboxItem]]:
    return {kind: list(items) for kind, items in groupby(reads.items, key=lambda item: item.item_type)}


def _oldest(reads: Reads) -> str:
    if not reads.items:
        return "nothing is open"
    return f"oldest: {timesince(min(item.created_at for item in reads.items), depth=1)}"


def _more(count: int, named: int) -> str:
    return f"All {count:,}" if count > named else "All"


def _runs(count: int) -> str:
    return "1 run is" if count == 1 else f"{count:,} runs are"
