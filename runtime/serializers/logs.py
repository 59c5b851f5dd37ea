from __future__ import annotations

from typing import Any

from rest_framework import serializers

from api.examples import shown
from events.states import Level
from runtime.models import RunLog

_LINE: dict[str, Any] = {
    "id": 5120,
    "run": 12,
    "project_id": 1,
    "agent_id": 3,
    "seq": 17,
    "at": "2026-11-24T09:06:02.123456Z",
    "kind": "tool_result",
    "level": "warning",
    "body": {"id": "toolu_01", "is_error": True, "text": "No such file or directory: src/kart.ts"},
}


class LevelField(serializers.ChoiceField):
    """A level by its name."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=[level.word for level in Level], **kwargs)

    def to_representation(self, value: Any) -> str:
        return Level(value).word


@shown(_LINE)
class LogSerializer(serializers.ModelSerializer[RunLog]):
    """A line of a run's log. Secrets were masked before it was written."""

    level = LevelField(read_only=True, help_text="How loud it is.")
    body = serializers.DictField(read_only=True)

    class Meta:
        model = RunLog
        fields = ["id", "run", "project_id", "agent_id", "seq", "at", "kind", "level", "body"]
        read_only_fields = fields
