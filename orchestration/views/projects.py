from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from orchestration.filters import ProjectFilter
from orchestration.models import Project
from orchestration.serializers.projects import ProjectChangesSerializer, ProjectSerializer
from api.bodies import validated
from orchestration.services.projects import create_project, update_project
from security.identity import actor_of
from security.roles import Role

_EXAMPLE = OpenApiExample(
    "A project",
    {"name": "Hive", "root_path": "/home/me/hive", "base_branch": "main", "checks": ["make test"]},
    request_only=True,
)


@extend_schema(tags=["projects"])
class ProjectViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[Project]):
    """Git repositories and their rules."""

    queryset = Project.objects.all()
    serializer_class = ProjectSerializer
    filterset_class = ProjectFilter
    ordering_fields = ["name", "created_at", "id"]
    ordering = ["name", "id"]
    # Its setup command and checks run in a shell.
    write_role = Role.ADMIN

    @extend_schema(request=ProjectSerializer, responses={201: ProjectSerializer}, examples=[_EXAMPLE])
    def create(self, request: Request) -> Response:
        """Create a project for a git repository on the server."""
        project = create_project(**validated(ProjectSerializer, request.data), actor=actor_of(request))
        return Response(ProjectSerializer(project).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=ProjectChangesSerializer, responses=ProjectSerializer)
    def partial_update(self, request: Request, **_: Any) -> Response:
        """Change fields of a project; `is_paused` stops new starts."""
        changes = validated(ProjectChangesSerializer, request.data, partial=True)
        project = update_project(self.get_object(), **changes, actor=actor_of(request))
        return Response(ProjectSerializer(project).data)
