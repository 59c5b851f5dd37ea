from __future__ import annotations

from django_filters import rest_framework as filters  # type: ignore[import-untyped]

from orchestration.filters import AnyOfFilter
from orchestration.models import Agent, Project, Task
from runtime.models import TaskRun
from runtime.states import RunStatus


class RunFilter(filters.FilterSet):  # type: ignore[misc]
    task = filters.ModelChoiceFilter(queryset=Task.objects.all())
    project = filters.ModelChoiceFilter(field_name="task__project", queryset=Project.objects.all())
    agent = filters.ModelChoiceFilter(queryset=Agent.objects.all())
    status = AnyOfFilter(choices=RunStatus.choices)

    class Meta:
        model = TaskRun
        fields = ["task", "agent", "status"]
