from __future__ import annotations

from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters  # type: ignore[import-untyped]

from api.filters import AnyOfFilter, FilterSet, FlagFilter, IdFilter
from llm.models import Breaker
from orchestration import filters as orchestration
from orchestration.models import Task
from runtime.models import TaskRun
from runtime.states import RunStatus


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
