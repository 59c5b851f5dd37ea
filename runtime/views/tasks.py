from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api import versions
from orchestration.models import Task
from orchestration.queries import task_graph
from orchestration.serializers.agents import AgentSerializer
from orchestration.serializers.graphs import BulkResultSerializer, BulkSerializer, TaskGraphSerializer, draft_of, made
from orchestration.serializers.projects import ProjectSerializer
from orchestration.serializers.tasks import TaskChangesSerializer, TaskCreateSerializer
from orchestration.services.graphs import create_graph
from orchestration.services.tasks import create_task, update_task
from runtime.filters import TaskFilter
from runtime.queries import OF_A_TASK
from runtime.serializers.tasks import TaskSerializer, WaitSerializer
from runtime.services.deletion import delete_task
from runtime.views.commands import CommandViewSet
from runtime.waiting import explain
from security.identity import actor_of


@extend_schema(tags=["tasks"])
class TaskViewSet(CommandViewSet):
    """What is to be done, and what a person may do about it."""

    queryset = Task.objects.all()
    serializer_class = TaskSerializer
    filterset_class = TaskFilter
    expandable = {"project": ProjectSerializer, "assignee": AgentSerializer}
    reads = OF_A_TASK
    apart = {"why": None, "graph": None, "bulk": None, "broadcast": None}
    ordering_fields = ["priority", "due_at", "created_at", "updated_at", "id"]
    ordering = ["priority", "id"]

    @extend_schema(request=TaskCreateSerializer, responses={201: TaskSerializer})
    def create(self, request: Request) -> Response:
        """Create a task, with what it waits for."""
        fields = self.body(TaskCreateSerializer)
        task = create_task(fields.pop("project"), **fields, actor=actor_of(request))
        return self.answer(task, status.HTTP_201_CREATED)

    @extend_schema(request=BulkSerializer, responses={201: BulkResultSerializer})
    @action(detail=False, methods=["post"])
    def bulk(self, request: Request) -> Response:
        """Create many tasks of a project at once, with what they wait for: all of them, or none."""
        given = self.body(BulkSerializer)
        drafts = [draft_of(task) for task in given["tasks"]]
        tasks = create_graph(given["project"], tasks=drafts, actor=actor_of(request))
        told = {"tasks": [made(draft, task) for draft, task in zip(drafts, tasks, strict=True)]}
        return Response(BulkResultSerializer(told).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=TaskChangesSerializer, responses=TaskSerializer)
    def partial_update(self, request: Request, **_: Any) -> Response:
        """Change fields of a task; its status moves by commands only."""
        task = self.get_object()
        changes = self.changes(task, TaskChangesSerializer)
        return self.answer(update_task(task, **changes, actor=actor_of(request)))

    @extend_schema(responses=WaitSerializer)
    @action(detail=True)
    def why(self, request: Request, **_: Any) -> Response:
        """Say why the task does not start now."""
        return Response(WaitSerializer(explain(self.get_object())).data)

    @extend_schema(responses=TaskGraphSerializer)
    @action(detail=True)
    def graph(self, request: Request, **_: Any) -> Response:
        """Show the graph around a task: what it waits for and what waits for it, directly or not, and the chain that keeps it longest."""
        return Response(TaskGraphSerializer(task_graph(self.get_object())).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, **_: Any) -> Response:
        """Delete a task; one that has runs, subtasks or tasks that wait for it is refused: archive it instead."""
        task = self.get_object()
        delete_task(task, **versions.guarded(request, task), actor=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)
