from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import validated
from api.views import RowViewSet
from orchestration.serializers.agents import AgentSerializer
from orchestration.serializers.tasks import TaskSummarySerializer
from runtime.diffs import diff_of
from runtime.filters import RunFilter
from runtime.models import TaskRun
from runtime.queries import log_lines
from runtime.serializers.runs import DiffSerializer, LogPageSerializer, LogQuerySerializer, RunSerializer
from runtime.serializers.tasks import CommandSerializer
from runtime.services.commands import cancel_run
from security.identity import actor_of


@extend_schema(tags=["runs"])
class RunViewSet(RowViewSet[TaskRun]):
    """Attempts at tasks."""

    queryset = TaskRun.objects.select_related("task")
    serializer_class = RunSerializer
    filterset_class = RunFilter
    project_path = "task__project"
    expandable = {"task": TaskSummarySerializer, "agent": AgentSerializer}
    apart = {"logs": LogQuerySerializer, "diff": None}
    ordering_fields = ["id"]
    ordering = ["-id"]

    @extend_schema(parameters=[LogQuerySerializer], responses=LogPageSerializer)
    @action(detail=True)
    def logs(self, request: Request, **_: Any) -> Response:
        """Return lines of what the run said and did, in their order."""
        asked = validated(LogQuerySerializer, request.query_params)
        lines = list(log_lines(self.get_object(), **asked))
        last = lines[-1].seq if lines else asked["after"]
        return Response(LogPageSerializer({"lines": lines, "next": last}).data)

    @extend_schema(responses={200: DiffSerializer, 409: None})
    @action(detail=True)
    def diff(self, request: Request, **_: Any) -> Response:
        """Return what the run changed; while it has not finished, what is on its branch."""
        return Response(DiffSerializer(diff_of(self.get_object())).data)

    @extend_schema(request=CommandSerializer, responses=RunSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, **_: Any) -> Response:
        """Cancel the task the run works on."""
        run = self.get_object()
        return self.answer(cancel_run(run, **self.changes(run, CommandSerializer), actor=actor_of(request)))
