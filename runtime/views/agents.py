from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from orchestration.filters import AgentFilter
from orchestration.models import Agent
from orchestration.serializers.agents import AgentChangesSerializer, AgentSerializer
from api.bodies import validated
from runtime.services.staffing import create_agent, update_agent
from security.identity import actor_of
from security.roles import Role

_EXAMPLE = OpenApiExample(
    "An agent", {"project": 1, "name": "Bee", "provider": "claude_code", "model": "sonnet"}, request_only=True
)


@extend_schema(tags=["agents"])
class AgentViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[Agent]):
    """Who does the work."""

    queryset = Agent.objects.all()
    serializer_class = AgentSerializer
    filterset_class = AgentFilter
    ordering_fields = ["name", "created_at", "id"]
    ordering = ["name", "id"]
    # Its tools may hold a shell.
    write_role = Role.ADMIN

    @extend_schema(request=AgentSerializer, responses={201: AgentSerializer}, examples=[_EXAMPLE])
    def create(self, request: Request) -> Response:
        """Create an agent in a project."""
        fields = validated(AgentSerializer, request.data)
        agent = create_agent(fields.pop("project"), **fields, actor=actor_of(request))
        return Response(AgentSerializer(agent).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=AgentChangesSerializer, responses=AgentSerializer)
    def partial_update(self, request: Request, **_: Any) -> Response:
        """Change fields of an agent; `status` pauses or archives it."""
        changes = validated(AgentChangesSerializer, request.data, partial=True)
        agent = update_agent(self.get_object(), **changes, actor=actor_of(request))
        return Response(AgentSerializer(agent).data)
