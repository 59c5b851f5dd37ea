"""The event log, to read."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter, SingleNumericFilter
from unfold.paginator import InfinitePaginator

from events.models import Event
from events.selection import Sight
from events.states import EventType, Level
from security.admin.base import ReadOnlyAdmin, has_role, seen_projects
from security.admin.shown import changelist_url, link, pretty_json
from security.roles import Role

_KINDS = {type_.split(".")[0] for type_ in EventType.values}


class KindFilter(DropdownFilter):  # type: ignore[misc]
    """Filters by what events are about: the first word of their type."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(kind, kind.capitalize()) for kind in sorted(_KINDS)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        return queryset.filter(type__startswith=f"{self.value()}.") if self.value() in _KINDS else queryset


class LevelFilter(DropdownFilter):  # type: ignore[misc]
    """Filters by how loud events are at least."""

    title = "level"
    parameter_name = "level"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(level.word, f"{level.label} or louder") for level in Level if level > Level.DEBUG]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        known = {level.word for level in Level}
        return queryset.at_least(Level.of(self.value())) if self.value() in known else queryset


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin[Event]):
    project_path = "project_id"
    list_display: tuple[str, ...] = (
        "id",
        "at",
        "name",
        "loudness",
        "actor",
        "project_id",
        "task_id",
        "run_id",
        "trace",
    )
    list_display_links = ("id", "at")
    list_filter = (
        KindFilter,
        LevelFilter,
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
    fields: ClassVar[tuple[str, ...]] = (
        "id",
        "at",
        "name",
        "actor",
        "project_id",
        "task_id",
        "run_id",
        "agent_id",
        "loudness",
        "trace",
        "chain",
        "details",
    )
    readonly_fields: ClassVar[tuple[str, ...]] = ("name", "loudness", "trace", "chain", "details")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        """As in the API: what the guards recorded is for admins."""
        sight = Sight(seen_projects(request), is_admin=has_role(request, Role.ADMIN))
        return sight.narrow(Event.objects.order_by(*self.ordering))

    @admin.display(description="type")
    def name(self, event: Event) -> str:
        return event.type

    @admin.display(description="level")
    def loudness(self, event: Event) -> str:
        return Level(event.level).word

    @admin.display(description="audit chain")
    def chain(self, event: Event) -> str:
        """Show the place; whether the chain holds is told by `manage.py verify_audit`."""
        return f"{event.chain_seq}:{event.chain_hash}" if event.chain_seq else "-"

    @admin.display(description="trace")
    def trace(self, event: Event) -> SafeString | str:
        return link(changelist_url(Event, q=event.trace_id), event.trace_id) if event.trace_id else "-"

    @admin.display(description="payload")
    def details(self, event: Event) -> SafeString:
        return pretty_json(event.payload)
