"""What the lists of this app, and those of the apps above over its rows, can be filtered by."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters  # type: ignore[import-untyped]
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field

from orchestration.models import Agent, Project, Task, TaskDependency
from orchestration.states import AgentStatus, Phase, Priority, TaskStatus, TaskType


class FlagField(forms.Field):
    """True or false; anything else is a mistake, and not the same as nothing."""

    def to_python(self, value: Any) -> bool | None:
        if value in self.empty_values:
            return None
        if (text := str(value).lower()) not in ("true", "false"):
            raise ValidationError("Give true or false.", code="invalid")
        return text == "true"


@extend_schema_field(OpenApiTypes.BOOL)
class FlagFilter(filters.Filter):  # type: ignore[misc]
    """Filters by true or false."""

    field_class = FlagField


@extend_schema_field(OpenApiTypes.INT)
class WholeFilter(filters.Filter):  # type: ignore[misc]
    """Filters by a whole number."""

    field_class = forms.IntegerField


class AnyOfFilter(filters.MultipleChoiceFilter):  # type: ignore[misc]
    """May be given several times: rows that match one of the values."""

    def __init__(self, **kwargs: object) -> None:
        # A column of the row itself never makes it appear twice.
        super().__init__(**{"distinct": False} | kwargs)


class ProjectFilter(filters.FilterSet):  # type: ignore[misc]
    is_paused = FlagFilter()
    is_archived = FlagFilter()

    class Meta:
        model = Project
        fields = ["slug", "is_paused", "is_archived"]


class AgentFilter(filters.FilterSet):  # type: ignore[misc]
    project = filters.ModelChoiceFilter(queryset=Project.objects.all())
    status = AnyOfFilter(choices=AgentStatus.choices)

    class Meta:
        model = Agent
        fields = ["project", "status"]


class TaskFilter(filters.FilterSet):  # type: ignore[misc]
    project = filters.ModelChoiceFilter(queryset=Project.objects.all())
    status = AnyOfFilter(choices=TaskStatus.choices)
    priority = AnyOfFilter(choices=Priority.choices)
    task_type = AnyOfFilter(choices=TaskType.choices)
    phase = AnyOfFilter(choices=Phase.choices)
    assignee = filters.ModelChoiceFilter(queryset=Agent.objects.all())
    parent = filters.ModelChoiceFilter(queryset=Task.objects.all())
    ready = FlagFilter(method="by_readiness", label="Nothing unmet, not held, not begun.")
    blocked_by = filters.ModelChoiceFilter(
        field_name="dependencies__depends_on",
        queryset=Task.objects.all(),
        method="waiting_for",
        label="Waits for this task.",
    )
    search = filters.CharFilter(method="by_text", max_length=200, label="Text in title or description.")

    class Meta:
        model = Task
        fields = ["project", "status", "priority", "task_type", "phase", "assignee", "parent"]

    def by_readiness(self, tasks: QuerySet[Task], _name: str, is_ready: bool) -> QuerySet[Task]:
        ready = Task.objects.ready()
        return tasks.filter(pk__in=ready) if is_ready else tasks.exclude(pk__in=ready)

    def waiting_for(self, tasks: QuerySet[Task], _name: str, blocker: Task) -> QuerySet[Task]:
        waits = TaskDependency.objects.filter(depends_on=blocker).exclude(depends_on__status=TaskStatus.DONE)
        return tasks.filter(pk__in=waits.values("task"))

    def by_text(self, tasks: QuerySet[Task], _name: str, text: str) -> QuerySet[Task]:
        return tasks.filter(Q(title__icontains=text) | Q(description__icontains=text))


class DependencyFilter(filters.FilterSet):  # type: ignore[misc]
    task = filters.ModelChoiceFilter(queryset=Task.objects.all())
    depends_on = filters.ModelChoiceFilter(queryset=Task.objects.all())
    project = filters.ModelChoiceFilter(field_name="task__project", queryset=Project.objects.all())

    class Meta:
        model = TaskDependency
        fields = ["task", "depends_on"]
