"""The lines of all runs, to read and to search."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.paginator import InfinitePaginator

from events.admin import LevelFilter
from runtime.admin.log import text_of
from runtime.models import RunLog, TaskRun
from security.admin.base import ReadOnlyAdmin, RelatedFilter
from security.admin.shown import link, page_url, pretty_json

_RUN = "run__id__exact"


@admin.register(RunLog)
class RunLogAdmin(ReadOnlyAdmin[RunLog]):
    project_path = "run__task__project"
    list_display = ("run", "seq", "time", "kind", "text")
    list_display_links = ("run", "seq")
    list_filter = (("run", RelatedFilter), LevelFilter, ("kind", ChoicesDropdownFilter))
    list_filter_submit = True
    list_select_related = ("run",)
    search_help_text = "Within one run: its text. Otherwise: a whole trace id or session id."
    ordering = ("-id",)
    # As with the event log: no end, so no counting and no other order.
    sortable_by = ()
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    paginator = InfinitePaginator
    list_per_page = 100
    fields = ("in_run", "seq", "at", "kind", "level", "details")
    readonly_fields = ("in_run", "details")

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Search the text of one run only: over all of them nothing would end it."""
        if request.GET.get(_RUN):
            return ("body__text", "body__name", "body__input")
        return ("run__trace_id__exact", "run__session_id__exact")

    @admin.display(description="run")
    def in_run(self, line: RunLog) -> SafeString:
        url = f"{page_url(TaskRun, line.run_id)}?before={line.seq + 1}#line-{line.seq}"
        return link(url, f"{line.run}, at this line")

    @admin.display(description="at")
    def time(self, line: RunLog) -> SafeString:
        at = timezone.localtime(line.at)
        return format_html('<span class="bbb-nowrap">{}</span>', at.strftime("%Y-%m-%d %H:%M:%S"))

    @admin.display(description="text")
    def text(self, line: RunLog) -> SafeString:
        return format_html('<span class="bbb-text">{}</span>', text_of(line)[:200])

    @admin.display(description="body")
    def details(self, line: RunLog) -> Any:
        return pretty_json(line.body)
