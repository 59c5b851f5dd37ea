"""The admin's sidebar."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

from inbox.models import InboxItem

# (group, [(title, icon, app, model)]): what people come for; the index has the rest.
_GROUPS = (
    (
        "Work",
        (
            ("Projects", "folder", "orchestration", "project"),
            ("Agents", "smart_toy", "orchestration", "agent"),
            ("Tasks", "task_alt", "orchestration", "task"),
            ("Documents", "description", "orchestration", "document"),
        ),
    ),
    ("Attention", (("Inbox", "inbox", "inbox", "inboxitem"),)),
    (
        "Runs",
        (
            ("Runs", "play_circle", "runtime", "taskrun"),
            ("Schedulers", "schedule", "runtime", "schedulerinstance"),
            ("Slots", "grid_view", "runtime", "slot"),
        ),
    ),
    (
        "Record",
        (
            ("Events", "history", "events", "event"),
            ("Usage", "payments", "llm", "usagedaily"),
        ),
    ),
    (
        "Access",
        (
            ("Users", "person", "auth", "user"),
            ("Groups", "group", "auth", "group"),
            ("API tokens", "key", "security", "apitoken"),
        ),
    ),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the groups of the sidebar with the pages the user may see."""
    groups = ((title, [_item(request, *page) for page in pages]) for title, pages in _GROUPS)
    return [{"title": title, "items": [item for item in items if item]} for title, items in groups if any(items)]


def _item(request: HttpRequest, title: str, icon: str, app: str, model: str) -> dict[str, Any] | None:
    page = admin.site._registry[apps.get_model(app, model)]
    if not page.has_view_permission(request):
        return None
    item: dict[str, Any] = {"title": title, "icon": icon, "link": reverse(f"admin:{app}_{model}_changelist")}
    if page.model is InboxItem and (waiting := InboxItem.objects.open().count()):
        item["badge"] = waiting
    return item
