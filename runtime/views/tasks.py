from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api.views import RowViewSet
from inbox.services import approve_task, request_changes
from orchestration.models import Task
from orchestration.serializers.agents import AgentSerializer
from orchestration.serializers.projects import ProjectSerializer
from orchestration.serializers.tasks import TaskChangesSerializer, TaskCreateSerializer
from orchestration.services.tasks import create_task, update_task
from runtime.filters import TaskFilter
from runtime.queries import task_rows
from runtime.serializers import CommandSerializer, RequestChangesSerializer, TaskSerializer, WaitSerializer
from runtime.services.commands import cancel_task, pause_task, resume_task, retry_task
from runtime.waiting import explain
from security.identity import actor_of

_command = extend_schema(request=CommandSerializer, responses=TaskSerializer)


@extend_schema(tags=["tasks"])
class TaskViewSet(RowViewSet[Task]):
    """What is to be done, and what a person may do about it."""

    queryset = task_rows()
    serializer_class = TaskSerializer
    filterset_class = TaskFilter
    expandable = {"project": ProjectSerializer, "assignee": AgentSerializer}
    apart = {"why": None}
    ordering_fields = ["priority", "due_at", "created_at", "updated_at", "id"]
    ordering = ["priority", "id"]

    @extend_schema(request=TaskCreateSerializer, responses={201: TaskSerializer})
    def create(self, request: Request) -> Response:
        """Create a task, with what it waits for."""
        fields = self.body(TaskCreateSerializer)
        task = create_task(fields.pop("project"), **fields, actor=actor_of(request))
        return self.answer(task, status.HTTP_201_CREATED)

    @extend_schema(request=TaskChangesSerializer, responses=TaskSerializer)
    def partial_update(self, request: Request, **_: Any) -> Response:
        """Change fields of a task; its status moves by commands only."""
        task = self.get_object()
        changes = self.changes(task, TaskChangesSerializer)
        return self.answer(update_task(task, **changes, actor=actor_of(request)))

    @_command
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, **_: Any) -> Response:
        """Hold a task that has not begun; ask a running one to stop at a safe point, its session kept."""
        return self._carry_out(pause_task)

    @_command
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, **_: Any) -> Response:
        """Let a held task go, or continue the session of an interrupted one."""
        return self._carry_out(resume_task)

    @_command
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, **_: Any) -> Response:
        """Put a failed, blocked or cancelled task back to todo."""
        return self._carry_out(retry_task)

    @_command
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, **_: Any) -> Response:
        """Cancel a task: at once where no process works on it, else by asking the process to stop."""
        return self._carry_out(cancel_task)

    @_command
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, **_: Any) -> Response:
        """Approve the work that waits in review; the scheduler merges it."""
        return self._carry_out(approve_task)

    @extend_schema(request=RequestChangesSerializer, responses=TaskSerializer)
    @action(detail=True, methods=["post"], url_path="request-changes")
    def request_changes(self, request: Request, **_: Any) -> Response:
        """Send work in review back with what to change."""
        return self._carry_out(request_changes, RequestChangesSerializer)

    @extend_schema(responses=WaitSerializer)
    @action(detail=True)
    def why(self, request: Request, **_: Any) -> Response:
        """Say why the task does not start now."""
        return Response(WaitSerializer(explain(self.get_object())).data)

    def _carry_out(
        self, command: Callable[..., Task], serializer: type[CommandSerializer] = CommandSerializer
    ) -> Response:
        task = self.get_object()
        given = self.changes(task, serializer)
        return self.answer(command(task, **given, actor=actor_of(self.request)))
