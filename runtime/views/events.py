"""The event log with what writes it from outside: projects, tasks and runs are known here, not where the log is kept."""

from __future__ import annotations

from http import HTTPStatus

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from events import views
from runtime.serializers.events import IngestedSerializer, IngestSerializer
from runtime.services.ingesting import ingest_events
from security.identity import actor_of
from security.permissions import EventPermission
from security.throttles import count_events


@extend_schema(tags=["events"])
class EventViewSet(views.EventViewSet):
    """What happened: newest first, or with `after` in the order in which it happened."""

    permission_classes = (EventPermission,)
    apart = {**views.EventViewSet.apart, "create": None}

    @extend_schema(request=IngestSerializer, responses={201: IngestedSerializer}, filters=False)
    def create(self, request: Request) -> Response:
        """Write what happened outside, for tools with the scope `events`: lines about runs, progress, alerts.

        All entries are written, in their order, or none. Nothing acts on them: they are shown. An entry about a run names
        the epoch it is about, and is refused when that was superseded.
        """
        told = self.body(IngestSerializer)["events"]
        count_events(request, len(told))
        accepted = ingest_events(told, actor=actor_of(request))
        return Response(IngestedSerializer({"accepted": accepted}).data, status=HTTPStatus.CREATED)
