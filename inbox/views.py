from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import VersionedSerializer
from api.views import RowViewSet
from inbox.filters import ItemFilter
from inbox.models import InboxItem
from inbox.serializers import CloseSerializer, ItemSerializer
from inbox.services import close_item, mark_read
from orchestration.serializers.projects import ProjectSerializer
from orchestration.serializers.tasks import TaskSummarySerializer
from security.identity import actor_of


@extend_schema(tags=["inbox"])
class ItemViewSet(RowViewSet[InboxItem]):
    """What waits for a person."""

    queryset = InboxItem.objects.all()
    serializer_class = ItemSerializer
    filterset_class = ItemFilter
    expandable = {"project": ProjectSerializer, "task": TaskSummarySerializer}
    ordering_fields = ["created_at", "id"]
    ordering = ["-id"]

    @extend_schema(request=CloseSerializer, responses=ItemSerializer)
    @action(detail=True, methods=["post"])
    def close(self, request: Request, **_: Any) -> Response:
        """Close an item and carry out what that means: an approval, a request for changes, an answer."""
        item = self.get_object()
        return self.answer(close_item(item, **self.changes(item, CloseSerializer), actor=actor_of(request)))

    @extend_schema(request=VersionedSerializer, responses=ItemSerializer)
    @action(detail=True, methods=["post"])
    def read(self, request: Request, **_: Any) -> Response:
        """Note that a person has seen the item."""
        item = self.get_object()
        return self.answer(mark_read(item, **self.changes(item, VersionedSerializer), actor=actor_of(request)))
