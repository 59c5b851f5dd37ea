from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api import versions
from api.views import RowViewSet
from orchestration.filters import AgentFilter
from orchestration.models import Agent
from orchestration.serializers.agents import AgentChangesSerializer, AgentSerializer
from orchestration.serializers.projects import ProjectSerializer
from runtime.load import with_load
from runtime.serializers.agents import HealthSerializer
from runtime.services.deletion import delete_agent
from runtime.services.staffing import create_agent, update_agent
from security.identity import actor_of
from security.roles import Role


@extend_schema(tags=["agents"])
class AgentViewSet(RowViewSet[Agent]):
    """Who does the work."""

    queryset = Agent.objects.all()
    serializer_class = AgentSerializer
    filterset_class = AgentFilter
    expandable = {"project": ProjectSerializer}
    apart = {"health": None}
    ordering_fields = ["name", "created_at", "id"]
    ordering = ["name", "id"]
    # Its tools may hold a shell.
    write_role = Role.ADMIN

    @extend_schema(request=AgentSerializer, responses={201: AgentSerializer})
    def create(self, request: Request) -> Response:
        """Create an agent in a project."""
        fields = self.body(AgentSerializer)
        agent = create_agent(fields.pop("project"), **fields, actor=actor_of(request))
        return self.answer(agent, status.HTTP_201_CREATED)

    @extend_schema(request=AgentChangesSerializer, responses=AgentSerializer)
    def partial_update(self, request: Request, **_: Any) -> Response:
        """Change fields of an agent; `status` pauses or archives it."""
        agent = self.get_object()
        changes = self.changes(agent, AgentChangesSerializer)
        return self.answer(update_agent(agent, **changes, actor=actor_of(request)))

    @extend_schema(responses=HealthSerializer)
    @action(detail=True)
    def health(self, request: Request, **_: Any) -> Response:
        """Tell the health of an agent: whether it can work, how busy it is, and what went wrong last."""
        agent = with_load(self.get_queryset()).get(pk=self.get_object().pk)
        return Response(HealthSerializer(agent).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, **_: Any) -> Response:
        """Delete an agent; one that has runs, or tasks that are not over, is refused: archive it instead."""
        agent = self.get_object()
        delete_agent(agent, **versions.guarded(request, agent), actor=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)
