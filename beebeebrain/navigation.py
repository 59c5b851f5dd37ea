"""The admin's sidebar, the saved views over its lists, and its style sheet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

from inbox.models import InboxItem
from security.access import visible
from security.admin.base import seen_projects
from security.admin.shown import changelist_url

# (group, [(title, icon, model)]): what people come for. What is registered and not named stands in a group of its own.
_GROUPS = (
    (
        "Work",
        (
            ("Projects", "folder", "orchestration.project"),
            ("Agents", "smart_toy", "orchestration.agent"),
            ("Tasks", "task_alt", "orchestration.task"),
            ("Documents", "description", "orchestration.document"),
            ("Comments", "comment", "orchestration.comment"),
        ),
    ),
    ("Attention", (("Inbox", "inbox", "inbox.inboxitem"),)),
    (
        "Runs",
        (
            ("Runs", "play_circle", "runtime.taskrun"),
            ("Log lines", "notes", "runtime.runlog"),
            ("Schedulers", "schedule", "runtime.schedulerinstance"),
            ("Duties", "event_repeat", "runtime.duty"),
            ("Slots", "grid_view", "runtime.slot"),
            ("Breakers", "electric_bolt", "llm.breaker"),
        ),
    ),
    (
        "Record",
        (
            ("Events", "history", "events.event"),
            ("Usage", "payments", "llm.usagedaily"),
        ),
    ),
    (
        "Access",
        (
            ("Users", "person", "auth.user"),
            ("Groups", "group", "auth.group"),
            ("API tokens", "key", "security.apitoken"),
            ("Commands", "terminal", "security.idempotentcommand"),
        ),
    ),
)

# model: [(title, filters)]: the first view is the whole list.
_VIEWS: Mapping[str, tuple[tuple[str, Mapping[str, str]], ...]] = {
    "orchestration.task": (
        ("All", {}),
        ("Needs attention", {"view": "attention"}),
        ("Ready", {"view": "ready"}),
        ("Running", {"status__exact": "running"}),
        ("Review", {"status__exact": "review"}),
        ("Failed", {"status__exact": "failed"}),
        ("Done", {"status__exact": "done"}),
        ("Archived", {"archived": "only"}),
    ),
    "orchestration.project": (("All", {}), ("Paused", {"is_paused__exact": "1"}), ("Archived", {"archived": "only"})),
    "orchestration.agent": (
        ("All", {}),
        ("Active", {"status__exact": "active"}),
        ("Paused", {"status__exact": "paused"}),
        ("Archived", {"status__exact": "archived"}),
    ),
    "orchestration.comment": (("All", {}), ("Open", {"status__exact": "open"})),
    "inbox.inboxitem": (("All", {}), ("Open", {"status__exact": "open"}), ("Closed", {"status__exact": "closed"})),
    "runtime.taskrun": (
        ("All", {}),
        ("Running", {"status__exact": "running"}),
        ("Interrupted", {"status__exact": "interrupted"}),
        ("To be retried", {"status__exact": "retry_scheduled"}),
        ("Failed", {"status__exact": "failed"}),
        ("Succeeded", {"status__exact": "succeeded"}),
    ),
    "events.event": (
        ("All", {}),
        ("Tasks", {"kind": "task"}),
        ("Runs", {"kind": "run"}),
        ("Inbox", {"kind": "inbox"}),
        ("Alerts", {"kind": "alert"}),
        ("Security", {"kind": "security"}),
    ),
    "auth.user": (("All", {}), ("Active", {"is_active__exact": "1"}), ("Deactivated", {"is_active__exact": "0"})),
    "security.apitoken": (
        ("All", {}),
        ("Valid", {"state": "valid"}),
        ("Expired", {"state": "expired"}),
        ("Revoked", {"state": "revoked"}),
    ),
}


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the groups of the sidebar with the pages the user may see."""
    dashboard = {"title": "Dashboard", "icon": "dashboard", "link": reverse("admin:index")}
    groups = ((title, [_item(request, *page) for page in pages]) for title, pages in (*_GROUPS, ("More", _others())))
    found = [{"title": title, "items": shown} for title, items in groups if (shown := [item for item in items if item])]
    return [{"items": [dashboard]}, *found]


def tabs(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the saved views over each list. A view stays active while one searches, sorts and pages in it."""
    return [
        {
            "models": [name],
            "items": [
                {
                    "title": title,
                    "link": changelist_url(apps.get_model(name), **filters),
                    "active": _is_active(request, filters, views),
                }
                for title, filters in views
            ],
        }
        for name, views in _VIEWS.items()
    ]


def stylesheet(request: HttpRequest) -> str:
    """Return the address of what our pages add to unfold's style."""
    return static("beebeebrain/admin.css")


def icon(request: HttpRequest) -> str:
    """Return the address of the picture in the browser's tab."""
    return static("beebeebrain/icon.svg")


def _item(request: HttpRequest, title: str, icon: str, name: str) -> dict[str, Any] | None:
    model = apps.get_model(name)
    if not admin.site._registry[model].has_view_permission(request):
        return None
    item: dict[str, Any] = {"title": title, "icon": icon, "link": changelist_url(model)}
    if model is InboxItem and (waiting := _open_items(request)):
        item["badge"] = waiting
    return item


def _open_items(request: HttpRequest) -> int:
    return visible(InboxItem.objects.open(), "project", seen_projects(request)).count()


def _others() -> Iterator[tuple[str, str, str]]:
    named = {name for _, pages in _GROUPS for _, _, name in pages}
    for model in admin.site._registry:
        if model._meta.label_lower not in named:
            yield _title(model), "more_horiz", model._meta.label_lower


def _title(model: type[Model]) -> str:
    return str(model._meta.verbose_name_plural).capitalize()


def _is_active(
    request: HttpRequest, filters: Mapping[str, str], views: tuple[tuple[str, Mapping[str, str]], ...]
) -> bool:
    """Tell whether a view is what is shown: of all that the views filter by, just this is set."""
    names = {name for _, view in views for name in view}
    return {name: request.GET[name] for name in names if request.GET.get(name)} == dict(filters)
