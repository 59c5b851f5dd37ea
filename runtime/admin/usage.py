"""The cost ledger, with the names of projects, which the ledger itself does not know."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import DropdownFilter

from llm import admin as llm
from llm.models import UsageDaily
from orchestration.models import Project
from security.admin.base import seen
from security.admin.shown import link, page_url

# As with tasks: the page is registered once more, here, with what the ledger may not know.
admin.site.unregister(UsageDaily)
# Projects that the filter offers.
_OFFERED = 200


class ProjectFilter(DropdownFilter):  # type: ignore[misc]
    """Filters by project, though the ledger keeps plain ids."""

    title = "project"
    parameter_name = "project_id"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(pk), name) for pk, name in seen(Project, request).values_list("pk", "name")[:_OFFERED]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageDaily]) -> QuerySet[UsageDaily]:
        value = self.value() or ""
        return queryset.filter(project_id=int(value)) if value.isdecimal() else queryset


@admin.register(UsageDaily)
class UsageDailyAdmin(llm.UsageDailyAdmin):
    list_display = tuple("project" if name == "project_id" else name for name in llm.UsageDailyAdmin.list_display)
    list_filter = (ProjectFilter, *llm.UsageDailyAdmin.list_filter)

    def get_queryset(self, request: HttpRequest) -> QuerySet[UsageDaily]:
        name = Project.objects.filter(pk=OuterRef("project_id")).values("name")[:1]
        return super().get_queryset(request).annotate(project_name=Subquery(name))

    @admin.display(description="project", ordering="project_name")
    def project(self, row: UsageDaily) -> SafeString | str:
        name = row.project_name  # type: ignore[attr-defined]
        return link(page_url(Project, row.project_id), name) if name else str(row.project_id or "-")
