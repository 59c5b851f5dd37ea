"""The event log over the API. Nothing here writes."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api.views import RowViewSet
from events import tail
from events.filters import EventListFilter
from events.models import Event, EventQuerySet
from events.selection import Sight
from events.serializers import CursorSerializer, EventSerializer
from security.access import rights_of
from security.identity import token_of


class EventViewSet(RowViewSet[Event]):
    """What happened: newest first, or with `after` in the order in which it happened."""

    queryset = Event.objects.all()
    serializer_class = EventSerializer
    filterset_class = EventListFilter
    project_path = "project_id"
    apart = {"cursor": None}
    ordering_fields = ["id"]

    def get_queryset(self) -> EventQuerySet:
        rows: EventQuerySet = super().get_queryset()  # type: ignore[assignment]
        return Sight.of(rights_of(self.request.user, token_of(self.request))).narrow(rows)

    @property
    def ordering(self) -> list[str]:
        """The order where none is asked for."""
        return ["id"] if "after" in self.request.query_params else ["-id"]

    @extend_schema(summary="Where the log ends", responses=CursorSerializer, filters=False)
    @action(detail=False, pagination_class=None)
    def cursor(self, request: Request) -> Response:
        """Read this first, then load what you show, then stream from here: nothing is missed."""
        return Response(CursorSerializer({"cursor": tail.latest()}).data)
