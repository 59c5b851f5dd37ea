"""What the lists of this app, and those of the apps above over its rows, can be filtered by."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters  # type: ignore[import-untyped]

from api.filters import AnyOfFilter, ArchivedFilter, FilterSet, FlagFilter, IdFilter
from orchestration.models import Agent, Comment, Document, Project, Task, TaskDependency
from orchestration.states import AgentStatus, CommentStatus, DocumentType, Phase, Priority, TaskStatus, TaskType


class ProjectFilter(FilterSet):
    is_paused = FlagFilter()
    is_archived = ArchivedFilter()
    search = filters.CharFilter(field_name="name", lookup_expr="icontains", max_length=200, label="Text in the name.")

    class Meta:
        model = Project
        fields = ["slug"]


class AgentFilter(FilterSet):
    project = IdFilter()
    status = AnyOfFilter(choices=AgentStatus.choices)
    provider = filters.CharFilter(max_length=40)

    class Meta:
        model = Agent
        fields = ["name"]


class TaskFilter(FilterSet):
    project = IdFilter()
    status = AnyOfFilter(choices=TaskStatus.choices)
    priority = AnyOfFilter(choices=Priority.choices)
    task_type = AnyOfFilter(choices=TaskType.choices)
    phase = AnyOfFilter(choices=Phase.choices)
    assignee = IdFilter(label="Assigned to this agent.")
    parent = IdFilter(label="Subtasks of this task.")
    due_before = filters.IsoDateTimeFilter(field_name="due_at", lookup_expr="lt")
    due_after = filters.IsoDateTimeFilter(field_name="due_at", lookup_expr="gt")
    is_held = FlagFilter()
    is_archived = ArchivedFilter()
    ready = FlagFilter(method="by_readiness", label="Nothing unmet, not held, not begun.")
    blocked_by = IdFilter(method="waiting_for", label="Waits for this task, which is not done.")
    search = filters.CharFilter(method="by_text", max_length=200, label="Text in title or description.")

    class Meta:
        model = Task
        fields: list[str] = []

    def by_readiness(self, tasks: QuerySet[Task], _name: str, is_ready: bool) -> QuerySet[Task]:
        ready = Task.objects.ready()
        return tasks.filter(pk__in=ready) if is_ready else tasks.exclude(pk__in=ready)

    def waiting_for(self, tasks: QuerySet[Task], _name: str, blocker: int) -> QuerySet[Task]:
        waits = TaskDependency.objects.filter(depends_on=blocker).exclude(depends_on__status=TaskStatus.DONE)
        return tasks.filter(pk__in=waits.values("task"))

    def by_text(self, tasks: QuerySet[Task], _name: str, text: str) -> QuerySet[Task]:
        return tasks.filter(Q(title__icontains=text) | Q(description__icontains=text))


class DependencyFilter(FilterSet):
    task = IdFilter()
    depends_on = IdFilter()
    project = IdFilter(field_name="task__project")

    class Meta:
        model = TaskDependency
        fields: list[str] = []


class DocumentFilter(FilterSet):
    project = IdFilter()
    doc_type = AnyOfFilter(choices=DocumentType.choices)
    is_mandatory = FlagFilter()
    search = filters.CharFilter(method="by_text", max_length=200, label="Text in path, title or body.")

    class Meta:
        model = Document
        fields = ["path"]

    def by_text(self, documents: QuerySet[Document], _name: str, text: str) -> QuerySet[Document]:
        return documents.filter(Q(path__icontains=text) | Q(title__icontains=text) | Q(body__icontains=text))


class CommentFilter(FilterSet):
    project = IdFilter(method="of_project", label="About tasks and documents of this project.")
    task = IdFilter()
    document = IdFilter()
    run = IdFilter(field_name="run_id", label="About the diff of this run.")
    status = AnyOfFilter(choices=CommentStatus.choices)

    class Meta:
        model = Comment
        fields: list[str] = []

    def of_project(self, comments: QuerySet[Comment], _name: str, project: int) -> QuerySet[Comment]:
        return comments.filter(Q(task__project=project) | Q(document__project=project))
