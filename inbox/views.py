from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ReadOnlyModelViewSet

from inbox.filters import ItemFilter
from inbox.models import InboxItem
from inbox.serializers import CloseSerializer, ItemSerializer
from inbox.services import close_item, mark_read
from api.bodies import StrictSerializer, validated
from security.identity import actor_of

_EXAMPLE = OpenApiExample(
    "Send work back",
    {"action": "request_changes", "user_input": "Name the column `due_at`.", "expected_version": 1},
    request_only=True,
)


@extend_schema(tags=["inbox"])
class ItemViewSet(ReadOnlyModelViewSet[InboxItem]):
    """What waits for a person."""

    queryset = InboxItem.objects.all()
    serializer_class = ItemSerializer
    filterset_class = ItemFilter
    ordering_fields = ["created_at", "id"]
    ordering = ["-id"]

    @extend_schema(request=CloseSerializer, responses=ItemSerializer, examples=[_EXAMPLE])
    @action(detail=True, methods=["post"])
    def close(self, request: Request, **_: Any) -> Response:
        """Close an item and carry out what that means: an approval, a request for changes, an answer."""
        given = validated(CloseSerializer, request.data)
        item = close_item(self.get_object(), **given, actor=actor_of(request))
        return Response(ItemSerializer(item).data)

    @extend_schema(request=None, responses=ItemSerializer)
    @action(detail=True, methods=["post"])
    def read(self, request: Request, **_: Any) -> Response:
        """Note that a person has seen the item."""
        validated(StrictSerializer, request.data)
        return Response(ItemSerializer(mark_read(self.get_object(), actor=actor_of(request))).data)
