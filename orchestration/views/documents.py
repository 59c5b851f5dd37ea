from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from api import versions
from api.views import RowViewSet
from orchestration.filters import DocumentFilter
from orchestration.models import Document
from orchestration.serializers.documents import DocumentChangesSerializer, DocumentSerializer
from orchestration.serializers.projects import ProjectSerializer
from orchestration.services.documents import create_document, delete_document, update_document
from security.identity import actor_of


@extend_schema(tags=["documents"])
class DocumentViewSet(RowViewSet[Document]):
    """Texts of a project that agents are given: its rules, specifications, notes."""

    queryset = Document.objects.all()
    serializer_class = DocumentSerializer
    filterset_class = DocumentFilter
    expandable = {"project": ProjectSerializer}
    ordering_fields = ["path", "title", "id"]
    ordering = ["path", "id"]

    @extend_schema(request=DocumentSerializer, responses={201: DocumentSerializer})
    def create(self, request: Request) -> Response:
        """Create a document in a project."""
        fields = self.body(DocumentSerializer)
        document = create_document(fields.pop("project"), **fields, actor=actor_of(request))
        return self.answer(document, status.HTTP_201_CREATED)

    @extend_schema(request=DocumentChangesSerializer, responses=DocumentSerializer)
    def partial_update(self, request: Request, **_: Any) -> Response:
        """Change fields of a document; runs that start from now on are given the new text."""
        document = self.get_object()
        changes = self.changes(document, DocumentChangesSerializer)
        return self.answer(update_document(document, **changes, actor=actor_of(request)))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, **_: Any) -> Response:
        """Delete a document with what was said about it."""
        document = self.get_object()
        delete_document(document, **versions.guarded(request, document), actor=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)
