from __future__ import annotations

from typing import Any

from django_filters.rest_framework import DjangoFilterBackend  # type: ignore[import-untyped]
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from api.queries import OrderingFilter
from api.views import RowViewSet
from runtime.filters import LogFilter
from runtime.models import RunLog
from runtime.serializers.logs import LogSerializer


class LogOrdering(OrderingFilter):
    """Orders by time. Of a few runs that is run by run and line by line, along the index which finds them."""

    def get_ordering(self, request: Request, queryset: Any, view: APIView) -> Any:
        ordering = super().get_ordering(request, queryset, view)
        if not LogFilter.PLACES & request.query_params.keys():
            return ordering
        return ["-run_id", "-seq"] if ordering[0].startswith("-") else ["run_id", "seq"]


@extend_schema(tags=["logs"])
class LogViewSet(RowViewSet[RunLog]):
    """What runs said and did, line by line: newest first, or with `ordering=at` the oldest."""

    queryset = RunLog.objects.all()
    serializer_class = LogSerializer
    filterset_class = LogFilter
    filter_backends = (DjangoFilterBackend, LogOrdering)
    project_path = "project_id"
    ordering_fields = ["at"]
    ordering = ["-at"]
