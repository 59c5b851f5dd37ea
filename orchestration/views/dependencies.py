from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from orchestration.filters import DependencyFilter
from orchestration.models import TaskDependency
from orchestration.serializers.dependencies import DependencySerializer
from api.bodies import validated
from orchestration.services.dependencies import add_dependency, remove_dependency
from security.identity import actor_of

_EXAMPLE = OpenApiExample("Task 2 waits for task 1", {"task": 2, "depends_on": 1}, request_only=True)


@extend_schema(tags=["dependencies"])
class DependencyViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[TaskDependency]):
    """Edges of the task graph."""

    queryset = TaskDependency.objects.all()
    serializer_class = DependencySerializer
    filterset_class = DependencyFilter
    ordering_fields = ["id"]
    ordering = ["id"]

    @extend_schema(request=DependencySerializer, responses={201: DependencySerializer}, examples=[_EXAMPLE])
    def create(self, request: Request) -> Response:
        """Make a task wait for another; an edge that exists is answered as it is."""
        dependency = add_dependency(**validated(DependencySerializer, request.data), actor=actor_of(request))
        return Response(DependencySerializer(dependency).data, status=status.HTTP_201_CREATED)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, **_: Any) -> Response:
        """Remove an edge."""
        remove_dependency(self.get_object(), actor=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)
