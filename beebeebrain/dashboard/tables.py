"""The dashboard's tables: rows of cells, each with its links."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from beebeebrain.dashboard.reads import NAMED_PROJECTS, Reads, Spent
from inbox.admin import KINDS
from inbox.models import InboxItem
from inbox.states import ItemType
from orchestration.admin.tasks import COLOURS
from orchestration.models import Project, Task
from orchestration.states import TaskStatus
from runtime.admin.progress import used
from runtime.models import TaskRun
from security.admin.shown import changelist_url, link, page_url, took, usd

Table = Mapping[str, Any]


def items(rows: Iterable[InboxItem]) -> Table:
    """Open items by what they ask for, the oldest first."""
    cells = [
        [
            _label(*KINDS[ItemType(item.item_type)]),
            link(page_url(InboxItem, item.pk), item.title),
            item.project.name,
            _ago(item.created_at),
        ]
        for item in rows
    ]
    return _table(["Kind", "Item", "Project", "For"], cells)


def stuck(rows: Iterable[Task]) -> Table:
    """Tasks that go on only when a person has done something."""
    cells = [
        [
            link(page_url(Task, task.pk), task.title),
            _label(task.get_status_display(), COLOURS[TaskStatus(task.status)]),
            task.status_reason or "-",
            _ago(task.updated_at),
        ]
        for task in rows
    ]
    return _table(["Task", "Status", "Why", "Since"], cells)


def running(rows: Iterable[TaskRun]) -> Table:
    """Runs under way, with what they have used."""
    cells = [
        [
            link(page_url(TaskRun, run.pk), run.task.title),
            run.task.project.name,
            run.agent.name,
            f"{used(run).turns:,}",
            _cost(used(run).cost_usd, run.cost_cap_usd),
            took(run.started_at, None),
        ]
        for run in rows
    ]
    return _table(["Run", "Project", "Agent", "Turns", "Cost", "Time"], cells)


def failed(rows: Iterable[TaskRun]) -> Table:
    """Runs that failed lately."""
    cells = [
        [
            link(page_url(TaskRun, run.pk), _attempt(run)),
            _label(run.error_code or "unknown", "danger"),
            run.agent.name,
            _ago(run.ended_at),
        ]
        for run in rows
    ]
    return _table(["Run", "Error", "Agent", "Ago"], cells)


def statuses(reads: Reads) -> Table:
    """How many tasks are in which status, per project and altogether; each number leads to its list."""
    busiest = sorted(reads.projects, key=lambda project: -sum(reads.counts[project.pk].values()))[:NAMED_PROJECTS]
    rows = [
        [link(page_url(Project, project.pk), project.name), *_numbers(reads.counts[project.pk], project)]
        for project in sorted(busiest, key=lambda project: project.name)
    ]
    if len(reads.projects) > 1:
        rows.append([format_html("<strong>{}</strong>", "All projects"), *_numbers(reads.total, None)])
    return _table(["Project", "Ready", *TaskStatus.labels], rows)


def costs(rows: Iterable[Spent]) -> list[Mapping[str, Any]]:
    """What projects have spent of what they may, in words and as parts of a bar."""
    return [
        {
            "link": link(page_url(Project, row.project.pk), row.project.name),
            "text": f"{usd(row.spent)} of {usd(row.budget)}" if row.budget is not None else usd(row.spent),
            "reserved": usd(row.reserved) if row.reserved else "",
            "bar": _bar(row),
        }
        for row in rows
    ]


def _bar(row: Spent) -> list[Mapping[str, Any]]:
    if not row.budget:
        return []
    spent = min(100, round(100 * row.spent / row.budget))
    reserved = min(100 - spent, round(100 * row.reserved / row.budget))
    colour = "bbb-over" if row.is_used_up else ""
    parts = [("Spent", spent, colour), ("Reserved", reserved, f"opacity-50 {colour}")]
    return [{"title": title, "value": value, "progress_class": more} for title, value, more in parts if value]


def _numbers(counts: Mapping[str, int], project: Project | None) -> list[SafeString | str]:
    only = {"project__id__exact": project.pk} if project else {}
    views = {"ready": {"view": "ready"}, **{status: {"status__exact": status} for status in TaskStatus.values}}
    return [
        link(changelist_url(Task, **view, **only), f"{counts[name]:,}") if counts[name] else "·"
        for name, view in views.items()
    ]


def _table(headers: list[str], rows: list[list[Any]]) -> Table:
    return {"headers": headers, "rows": rows}


def _cost(spent: Decimal, cap: Decimal | None) -> str:
    return f"{usd(spent)} of {usd(cap)}" if cap else usd(spent)


def _attempt(run: TaskRun) -> str:
    return run.task.title if run.attempt == 1 else f"{run.task.title} (attempt {run.attempt})"


def _label(text: str, colour: str) -> SafeString:
    return SafeString(render_to_string("unfold/helpers/label.html", {"text": text, "type": colour}))


def _ago(moment: datetime | None) -> SafeString | str:
    return format_html('<span class="bbb-nowrap">{}</span>', timesince(moment, depth=1)) if moment else "-"
