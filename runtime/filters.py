from __future__ import annotations

from typing import ClassVar

from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters  # type: ignore[import-untyped]

from api import search
from api.edges import within_edges
from api.filters import AnyOfFilter, FilterSet, FlagFilter, IdFilter
from api.queries import BadQuery
from events.filters import LevelFilter
from events.states import Level
from llm.models import Breaker
from orchestration import filters as orchestration
from orchestration.models import Task
from runtime.models import RunLog, RunLogQuerySet, TaskRun
from runtime.states import LogKind, RunStatus


class TaskFilter(orchestration.TaskFilter):
    agent = IdFilter(method="of_agent", label="Assigned to this agent, or being done by it.")

    class Meta(orchestration.TaskFilter.Meta):
        pass

    def of_agent(self, tasks: QuerySet[Task], _name: str, agent: int) -> QuerySet[Task]:
        return tasks.filter(Q(assignee=agent) | Q(pk__in=TaskRun.objects.active().filter(agent=agent).values("task")))


class RunFilter(FilterSet):
    task = IdFilter()
    project = IdFilter(field_name="task__project")
    agent = IdFilter()
    status = AnyOfFilter(choices=RunStatus.choices)
    created_after = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gt")

    class Meta:
        model = TaskRun
        fields: list[str] = []


class BreakerFilter(FilterSet):
    provider = filters.CharFilter()
    is_closed = FlagFilter(field_name="reset_at", lookup_expr="isnull")

    class Meta:
        model = Breaker
        fields: list[str] = []


_PLACE_HELP = "Needs `task`, `run`, `trace_id`, or `since` (and `until`) at most a day apart."


class LogFilter(FilterSet):
    """What is asked of the lines of all runs. What no index answers is looked for in few runs or within a day only."""

    PLACES: ClassVar[frozenset[str]] = frozenset({"task", "run", "trace_id"})
    """These choose a few runs: all of a line's other values may be looked at then."""

    project = IdFilter(field_name="project_id")
    agent = IdFilter(field_name="agent_id")
    run = IdFilter()
    task = IdFilter(method="of_task", label="Of all runs of this task.")
    trace_id = filters.CharFilter(method="of_trace", max_length=64, label="Of the runs that belong to this trace.")
    level = LevelFilter()
    kind = AnyOfFilter(choices=LogKind.choices, label=f"Only lines of this kind. {_PLACE_HELP} Except `stderr`.")
    since = filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte", label="Only what was said then or later.")
    until = filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt", label="Only what was said before.")
    text = filters.CharFilter(method="saying", max_length=200, label=f"Only what says this somewhere. {_PLACE_HELP}")

    class Meta:
        model = RunLog
        fields: list[str] = []

    def filter_queryset(self, queryset: RunLogQuerySet) -> RunLogQuerySet:
        """Narrow the lines. Raises BadQuery for what would be looked for in too many."""
        chosen = self.form.cleaned_data
        kinds = chosen.get("kind") or []
        if kinds == [LogKind.STDERR]:
            # All of it is loud, and there an index finds it.
            queryset = queryset.at_least(Level.ERROR)
        elif kinds:
            self._require_place("kind")
        if chosen.get("text"):
            self._require_place("text")
        rows: RunLogQuerySet = super().filter_queryset(queryset)
        for name in ("project", "agent"):
            if chosen.get(name):
                rows = within_edges(rows, f"{name}_id", chosen[name], "at")
        return rows

    def of_task(self, lines: RunLogQuerySet, _name: str, task: int) -> RunLogQuerySet:
        return lines.filter(run__in=_ids(TaskRun.objects.filter(task=task)))

    def of_trace(self, lines: RunLogQuerySet, _name: str, trace_id: str) -> RunLogQuerySet:
        return lines.filter(run__in=_ids(TaskRun.objects.filter(trace_id=trace_id)))

    def saying(self, lines: RunLogQuerySet, _name: str, text: str) -> RunLogQuerySet:
        narrowed: RunLogQuerySet = search.containing(lines, "body", text)
        return narrowed

    def _require_place(self, name: str) -> None:
        chosen = self.form.cleaned_data
        is_placed = any(chosen.get(place) for place in self.PLACES)
        if not is_placed and not search.is_short(chosen.get("since"), chosen.get("until")):
            raise BadQuery(name, f"Too much would be looked through. {_PLACE_HELP}", search.TOO_WIDE)


def _ids(runs: QuerySet[TaskRun]) -> list[int]:
    """Return the ids of the few runs of a task or a trace: with them in the query the index on lines is the obvious one."""
    return list(runs.order_by("pk").values_list("pk", flat=True))
