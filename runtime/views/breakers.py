from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api.views import RowViewSet
from llm.models import Breaker
from runtime.filters import BreakerFilter
from runtime.serializers.breakers import BreakerSerializer
from runtime.serializers.tasks import CommandSerializer
from runtime.services.breaking import reset_breaker
from security.access import require_all_projects
from security.identity import actor_of
from security.roles import Role


@extend_schema(tags=["breakers"])
class BreakerViewSet(RowViewSet[Breaker]):
    """Usage limits that were reached. They are no project's, and tell nothing of any."""

    queryset = Breaker.objects.all()
    serializer_class = BreakerSerializer
    filterset_class = BreakerFilter
    ordering_fields = ["id"]
    ordering = ["-id"]
    write_role = Role.ADMIN

    def get_queryset(self) -> QuerySet[Breaker]:
        return self.all_rows()

    @extend_schema(request=CommandSerializer, responses=BreakerSerializer)
    @action(detail=True, methods=["post"])
    def reset(self, request: Request, **_: Any) -> Response:
        """Let everything start again that a usage limit keeps, before its reset time."""
        require_all_projects(request)
        breaker = self.get_object()
        return self.answer(reset_breaker(breaker, **self.changes(breaker, CommandSerializer), actor=actor_of(request)))
