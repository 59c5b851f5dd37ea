"""What a person may do about a task: one command for one task, or one for many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api import idempotency
from api.views import RowViewSet
from inbox.services import approve_task, request_changes
from orchestration.models import Task
from runtime.serializers.tasks import (
    BroadcastResultSerializer,
    BroadcastSerializer,
    CommandSerializer,
    RequestChangesSerializer,
    RunRequestSerializer,
    TaskSerializer,
)
from runtime.services.broadcasting import COMMANDS, broadcast
from runtime.services.commands import cancel_task, pause_task, resume_task, retry_task
from runtime.services.running import run_task
from security.access import projects_of, visible
from security.identity import actor_of

_command = extend_schema(request=CommandSerializer, responses=TaskSerializer)
_COMMAND = OpenApiParameter("command", OpenApiTypes.STR, OpenApiParameter.PATH, enum=list(COMMANDS))


class CommandViewSet(RowViewSet[Task]):
    """The commands about tasks."""

    @extend_schema(request=RunRequestSerializer, responses=TaskSerializer)
    @action(detail=True, methods=["post"])
    def run(self, request: Request, **_: Any) -> Response:
        """Run a task: start it as soon as there is room, before everything else that waits.

        What failed, is blocked or was cancelled begins anew. An Idempotency-Key is the run's own: it never runs the task twice,
        however late it is sent again.
        """
        task = self.get_object()
        given = self.changes(task, RunRequestSerializer)
        key = request.headers.get(idempotency.HEADER, "")
        given["idempotency_key"] = f"user-{request.user.pk}:{key}" if key else ""
        return self.answer(run_task(task, **given, actor=actor_of(request)))

    @_command
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, **_: Any) -> Response:
        """Pause a task: one that has not begun is held, a running one is asked to stop at a safe point, its session kept."""
        return self._carry_out(pause_task)

    @_command
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, **_: Any) -> Response:
        """Resume a task: let a held one go, or continue the session of an interrupted one."""
        return self._carry_out(resume_task)

    @_command
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, **_: Any) -> Response:
        """Retry a task: put a failed, blocked or cancelled one back to todo; let a scheduled attempt begin now."""
        return self._carry_out(retry_task)

    @_command
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, **_: Any) -> Response:
        """Cancel a task: at once where no process works on it, else by asking the process to stop."""
        return self._carry_out(cancel_task)

    @_command
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, **_: Any) -> Response:
        """Approve a task: the work that waits in review is merged by the scheduler."""
        return self._carry_out(approve_task)

    @extend_schema(request=RequestChangesSerializer, responses=TaskSerializer)
    @action(detail=True, methods=["post"], url_path="request-changes")
    def request_changes(self, request: Request, **_: Any) -> Response:
        """Request changes: send work in review back with what to change."""
        return self._carry_out(request_changes, RequestChangesSerializer)

    @extend_schema(request=BroadcastSerializer, responses=BroadcastResultSerializer, parameters=[_COMMAND])
    @action(detail=False, methods=["post"], url_path=f"broadcast/(?P<command>{'|'.join(COMMANDS)})")
    def broadcast(self, request: Request, command: str, **_: Any) -> Response:
        """Give one command to many tasks; each is answered for itself, and one refusal does not spoil the rest."""
        given = self.body(BroadcastSerializer)
        among = visible(Task.objects.all(), "project", projects_of(request))
        done = broadcast(command, **given, among=among, actor=actor_of(request))
        return Response(BroadcastResultSerializer(done).data)

    def _carry_out(
        self, command: Callable[..., Task], serializer: type[CommandSerializer] = CommandSerializer
    ) -> Response:
        task = self.get_object()
        given = self.changes(task, serializer)
        return self.answer(command(task, **given, actor=actor_of(self.request)))
