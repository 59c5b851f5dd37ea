from __future__ import annotations

from typing import Any

from rest_framework.exceptions import ErrorDetail, ValidationError

from api.views import Body
from orchestration.views import comments
from runtime.models import TaskRun

_UNKNOWN = "There is none with the id {} that works on this task."


class CommentViewSet(comments.CommentViewSet):
    """What was said about tasks, diffs and documents: here it is known which runs there are."""

    def body(self, serializer: Body, *, partial: bool = False) -> dict[str, Any]:
        given = super().body(serializer, partial=partial)
        run = given.get("run_id")
        if run is not None and not TaskRun.objects.filter(pk=run, task=given.get("task")).exists():
            raise ValidationError({"run": [ErrorDetail(_UNKNOWN.format(run), "does_not_exist")]})
        return given
