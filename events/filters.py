"""The query of the event list and of the stream: how it is parsed, checked and described."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django_filters.rest_framework import (  # type: ignore[import-untyped]
    CharFilter,
    ChoiceFilter,
    FilterSet,
    IsoDateTimeFilter,
    MultipleChoiceFilter,
)
from drf_spectacular.utils import extend_schema_field

from api import search
from api.edges import within_edges
from api.filters import IdFilter
from api.queries import BadQuery
from events import cursors
from events.models import Event, EventQuerySet
from events.selection import Selection
from events.states import EventType, Level

_PREFIXES = sorted({type_.split(".")[0] + "." for type_ in EventType.values})
_CHOICES = [*EventType.choices, *((prefix, f"all of {prefix}") for prefix in _PREFIXES)]


class EventFilter(FilterSet):  # type: ignore[misc]
    """What somebody wants of the log."""

    after = IdFilter(field_name="id", least=0, help_text="Only what was recorded after this cursor, oldest first.")
    project = IdFilter(field_name="project_id", help_text="Only events of this project.")
    task = IdFilter(field_name="task_id", help_text="Only events of this task.")
    run = IdFilter(field_name="run_id", help_text="Only events of this run.")
    type = MultipleChoiceFilter(choices=_CHOICES, help_text="Only these types; `task.` stands for all that begin so.")
    trace_id = CharFilter(max_length=64, help_text="Only what belongs to this trace.")

    class Meta:
        model = Event
        fields: list[str] = []

    def filter_queryset(self, queryset: EventQuerySet) -> EventQuerySet:
        """Narrow the list to what is wanted, the way the stream does it."""
        after = self.form.cleaned_data["after"]
        return Selection.of(self.form.cleaned_data).narrow(queryset if after is None else queryset.after(after))


@extend_schema_field({"type": "string", "enum": [level.word for level in Level]})
class LevelFilter(ChoiceFilter):  # type: ignore[misc]
    """Filters by how loud something is at least."""

    def __init__(self, **kwargs: Any) -> None:
        choices = [(level.word, level.label) for level in Level]
        super().__init__(**{"choices": choices, "help_text": "Only what is at least so loud."} | kwargs)

    def filter(self, rows: Any, value: str | None) -> Any:
        return rows.at_least(Level.of(value)) if value else rows


_TEXT_NEEDS = "Needs `task`, `run`, `trace_id`, or `since` (and `until`) at most a day apart."


class EventListFilter(EventFilter):
    """What is asked of the list besides: by whom, how loud, when, and what it says."""

    agent = IdFilter(field_name="agent_id", help_text="Only what this agent did, or what happened to it or its runs.")
    level = LevelFilter()
    since = IsoDateTimeFilter(help_text="Only what happened at this time or later.")
    until = IsoDateTimeFilter(help_text="Only what happened before this time.")
    text = CharFilter(max_length=200, help_text=f"Only what says this somewhere. {_TEXT_NEEDS}")

    class Meta(EventFilter.Meta):
        pass

    def filter_queryset(self, queryset: EventQuerySet) -> EventQuerySet:
        """Narrow the list. Raises BadQuery for a text that is looked for in too much."""
        chosen = self.form.cleaned_data
        rows = super().filter_queryset(queryset)
        if chosen["agent"]:
            rows = rows.filter(agent_id=chosen["agent"])
        rows = self._within_edges(rows)
        if chosen["level"]:
            rows = rows.at_least(Level.of(chosen["level"]))
        rows = _between(rows, chosen["since"], chosen["until"])
        return self._saying(rows, chosen["text"]) if chosen["text"] else rows

    def _within_edges(self, rows: EventQuerySet) -> EventQuerySet:
        """Begin where what is asked for begins: projects and agents come and go, and some types are seldom heard of."""
        chosen = self.form.cleaned_data
        types = chosen["type"]
        asked = {"project_id": chosen["project"], "agent_id": chosen["agent"]}
        asked["type"] = types[0] if len(types) == 1 and not types[0].endswith(".") else None
        for column, value in asked.items():
            if value is not None:
                rows = within_edges(rows, column, value, "id")
        return rows

    def _saying(self, rows: EventQuerySet, text: str) -> EventQuerySet:
        chosen = self.form.cleaned_data
        is_scoped = any(chosen[name] for name in ("task", "run", "trace_id"))
        if not is_scoped and not search.is_short(chosen["since"], chosen["until"]):
            raise BadQuery("text", f"Too much would be looked through. {_TEXT_NEEDS}", search.TOO_WIDE)
        narrowed: EventQuerySet = search.containing(rows, "payload", text)
        return narrowed


def _between(rows: EventQuerySet, since: datetime | None, until: datetime | None) -> EventQuerySet:
    """Narrow to a stretch of time: by cursors, which all indexes are in the order of, and by the times themselves."""
    if since:
        rows = rows.filter(id__gte=cursors.since(since), at__gte=since)
    if until:
        rows = rows.filter(id__lt=cursors.until(until), at__lt=until)
    return rows
