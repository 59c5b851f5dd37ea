from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from api import versions
from api.views import RowViewSet
from orchestration.filters import CommentFilter
from orchestration.models import Comment
from orchestration.serializers.comments import CommentChangesSerializer, CommentSerializer
from orchestration.serializers.tasks import TaskSummarySerializer
from orchestration.services.comments import create_comment, delete_comment, update_comment
from security.identity import actor_of, require_author


@extend_schema(tags=["comments"])
class CommentViewSet(RowViewSet[Comment]):
    """What was said about tasks, diffs and documents."""

    queryset = Comment.objects.all()
    serializer_class = CommentSerializer
    filterset_class = CommentFilter
    project_path = ("task__project", "document__project")
    expandable = {"task": TaskSummarySerializer}
    ordering_fields = ["created_at", "id"]
    ordering = ["id"]

    @extend_schema(request=CommentSerializer, responses={201: CommentSerializer})
    def create(self, request: Request) -> Response:
        """Write a comment: about a task, about a line of a run's diff, or about a document."""
        given = self.body(CommentSerializer)
        comment = create_comment(**given, author=request.user.get_username(), actor=actor_of(request))
        return self.answer(comment, status.HTTP_201_CREATED)

    @extend_schema(request=CommentChangesSerializer, responses=CommentSerializer)
    def partial_update(self, request: Request, **_: Any) -> Response:
        """Reword a comment of one's own, or say what has become of any."""
        comment = self.get_object()
        changes = self.changes(comment, CommentChangesSerializer)
        if "body" in changes:
            require_author(request, comment.author)
        return self.answer(update_comment(comment, **changes, actor=actor_of(request)))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, **_: Any) -> Response:
        """Delete a comment of one's own; an admin may delete any."""
        comment = self.get_object()
        require_author(request, comment.author)
        delete_comment(comment, **versions.guarded(request, comment), actor=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)
