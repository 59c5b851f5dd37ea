"""Filters of the lists of tasks and projects."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from orchestration.models import Task
from orchestration.states import TaskStatus


class ViewFilter(DropdownFilter):  # type: ignore[misc]
    """What people look for and no single field says."""

    title = "view"
    parameter_name = "view"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("attention", "Needs attention"), ("ready", "Ready")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        if self.value() == "attention":
            return queryset.filter(needs_attention())
        return queryset.filter(pk__in=Task.objects.ready()) if self.value() == "ready" else queryset


class ArchivedFilter(DropdownFilter):  # type: ignore[misc]
    """Leaves out what is archived, unless it is asked for."""

    title = "archived"
    parameter_name = "archived"
    all_option = ("", "Left out")

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("only", "Only these"), ("too", "These too")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset if self.value() == "too" else queryset.filter(is_archived=self.value() == "only")


def needs_attention() -> Q:
    """Tell which tasks go on only when a person has done something."""
    stuck = Q(status__in=[TaskStatus.BLOCKED, TaskStatus.FAILED])
    return stuck | Q(status=TaskStatus.REVIEW, approved_at__isnull=True)
