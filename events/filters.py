"""The query of the event list and of the stream: how it is parsed, checked and described."""

from __future__ import annotations

from django_filters.rest_framework import (  # type: ignore[import-untyped]
    CharFilter,
    FilterSet,
    MultipleChoiceFilter,
)

from api.filters import IdFilter
from events.models import Event, EventQuerySet
from events.selection import Selection
from events.states import EventType

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
