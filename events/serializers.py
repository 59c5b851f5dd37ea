"""Events as the API shows them: the same as on the stream."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from api.examples import shown
from events.models import Event
from events.states import Level

_MOVED = {
    "id": 42,
    "at": "2026-11-24T09:06:00.123456+00:00",
    "type": "task.status.changed",
    "project_id": 1,
    "task_id": 7,
    "run_id": None,
    "agent_id": None,
    "level": "info",
    "actor": "user:ada",
    "trace_id": "8b6c0f3e1f2a4d5c9b7a6e5d4c3b2a10",
    "payload": {"before": "todo", "after": "running", "version": 3, "reason": ""},
}


@shown(_MOVED)
class EventSerializer(serializers.ModelSerializer[Event]):
    """One thing that happened. What `payload` holds depends on the type."""

    level = serializers.ChoiceField(choices=[level.word for level in Level], help_text="How loud it is.")
    payload = serializers.DictField()

    class Meta:
        model = Event
        fields = [
            "id",
            "at",
            "type",
            "project_id",
            "task_id",
            "run_id",
            "agent_id",
            "level",
            "actor",
            "trace_id",
            "payload",
        ]
        read_only_fields = fields

    def to_representation(self, instance: Event) -> dict[str, Any]:
        return {name: value for name, value in instance.frame().items() if name in self.fields}


@shown({"cursor": 42})
class CursorSerializer(serializers.Serializer[Any]):
    """How far the log reaches."""

    cursor = serializers.IntegerField(help_text="The id of the newest event; 0 for an empty log.")
