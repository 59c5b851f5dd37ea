"""The event log, to read."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, SingleNumericFilter
from unfold.paginator import InfinitePaginator

from events.models import Event
from security.admin.base import ReadOnlyAdmin, pretty_json


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin[Event]):
    list_display = ("id", "at", "name", "actor", "project_id", "task_id", "run_id", "trace_id")
    list_display_links = ("id", "at")
    list_filter = (
        ("type", ChoicesDropdownFilter),
        ("project_id", SingleNumericFilter),
        ("task_id", SingleNumericFilter),
        ("run_id", SingleNumericFilter),
    )
    list_filter_submit = True
    search_fields = ("trace_id__exact", "actor__exact")
    search_help_text = "A whole trace id, or a whole actor."
    ordering = ("-id",)
    # The log has no end: it is neither counted nor sorted by what has no index.
    sortable_by = ()
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    paginator = InfinitePaginator
    list_per_page = 50
    fields = ("id", "at", "name", "actor", "project_id", "task_id", "run_id", "trace_id", "details")
    readonly_fields = ("name", "details")

    @admin.display(description="type")
    def name(self, event: Event) -> str:
        return event.type

    @admin.display(description="payload")
    def details(self, event: Event) -> SafeString:
        return pretty_json(event.payload)
