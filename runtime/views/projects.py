from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api import versions
from api.views import RowViewSet
from orchestration.filters import ProjectFilter
from orchestration.models import Project
from orchestration.queries import project_graph
from orchestration.serializers.graphs import ProjectGraphSerializer
from orchestration.serializers.projects import ProjectChangesSerializer, ProjectSerializer
from orchestration.services.projects import add_project, inspected, update_project
from runtime.services.deletion import delete_project
from security.access import require_all_projects
from security.identity import actor_of
from security.roles import Role

_OF_ALL = {"slug", "root_path"}


@extend_schema(tags=["projects"])
class ProjectViewSet(RowViewSet[Project]):
    """Git repositories and their rules."""

    queryset = Project.objects.all()
    serializer_class = ProjectSerializer
    filterset_class = ProjectFilter
    project_path = "pk"
    apart = {"graph": None}
    ordering_fields = ["name", "created_at", "id"]
    ordering = ["name", "id"]
    # Its setup command and checks run in a shell.
    write_role = Role.ADMIN

    def prepare(self, request: Request) -> None:
        require_all_projects(request)
        self.given = {"base_branch": "main"} | self.body(ProjectSerializer)
        self.given["root_path"] = inspected(self.given["root_path"], self.given["base_branch"])

    @extend_schema(request=ProjectSerializer, responses={201: ProjectSerializer})
    def create(self, request: Request) -> Response:
        """Create a project for a git repository on the server."""
        return self.answer(add_project(**self.given, actor=actor_of(request)), status.HTTP_201_CREATED)

    @extend_schema(request=ProjectChangesSerializer, responses=ProjectSerializer)
    def partial_update(self, request: Request, **_: Any) -> Response:
        """Change fields of a project; `is_paused` stops new starts.

        Slug and path meet those of all projects: only who sees all of them changes these.
        """
        project = self.get_object()
        changes = self.changes(project, ProjectChangesSerializer)
        if _OF_ALL & changes.keys():
            require_all_projects(request)
        return self.answer(update_project(project, **changes, actor=actor_of(request)))

    @extend_schema(responses=ProjectGraphSerializer)
    @action(detail=True)
    def graph(self, request: Request, **_: Any) -> Response:
        """Show the graph of a project: its tasks, what each waits for, and the longest chain of those that are not done."""
        return Response(ProjectGraphSerializer(project_graph(self.get_object())).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, **_: Any) -> Response:
        """Delete a project with its agents and documents; one that has tasks is refused, archive it instead. The repository stays."""
        project = self.get_object()
        delete_project(project, **versions.guarded(request, project), actor=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)
