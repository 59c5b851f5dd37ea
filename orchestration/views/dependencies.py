from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from api.views import RowViewSet
from orchestration.filters import DependencyFilter
from orchestration.models import TaskDependency
from orchestration.serializers.dependencies import DependencySerializer
from orchestration.serializers.tasks import TaskSummarySerializer
from orchestration.services.dependencies import add_dependency, remove_dependency
from security.identity import actor_of


@extend_schema(tags=["dependencies"])
class DependencyViewSet(RowViewSet[TaskDependency]):
    """Edges of the task graph."""

    queryset = TaskDependency.objects.all()
    serializer_class = DependencySerializer
    filterset_class = DependencyFilter
    project_path = "task__project"
    expandable = {"task": TaskSummarySerializer, "depends_on": TaskSummarySerializer}
    ordering_fields = ["id"]
    ordering = ["id"]

    @extend_schema(request=DependencySerializer, responses={201: DependencySerializer})
    def create(self, request: Request) -> Response:
        """Make a task wait for another; an edge that exists is answered as it is."""
        dependency = add_dependency(**self.body(DependencySerializer), actor=actor_of(request))
        return self.answer(dependency, status.HTTP_201_CREATED)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, **_: Any) -> Response:
        """Remove a dependency."""
        remove_dependency(self.get_object(), actor=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)
