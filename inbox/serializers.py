from __future__ import annotations

from typing import get_args

from rest_framework import serializers

from api.bodies import VersionedSerializer
from api.examples import shown
from inbox.models import InboxItem
from inbox.services import Action
from inbox.states import Resolution

_QUESTION = {
    "id": 15,
    "project": 1,
    "task": 7,
    "run": 12,
    "item_type": "await_user_input",
    "title": "Which countries do we ship to?",
    "content": "The table of shipping costs names eight; the form offers all.",
    "options": ["Only the eight", "All"],
    "status": "open",
    "resolution": "",
    "resolver": "",
    "resolved_at": None,
    "user_input": "",
    "delivered_at": None,
    "is_read": False,
    "created_at": "2026-11-24T09:10:00.123456Z",
    "version": 1,
}


@shown(_QUESTION)
class ItemSerializer(serializers.ModelSerializer[InboxItem]):
    """What waits for a person, or waited."""

    run = serializers.IntegerField(source="run_id", allow_null=True, read_only=True)
    options = serializers.ListField(child=serializers.CharField(), read_only=True, help_text="Answers to choose from.")
    resolution = serializers.ChoiceField(
        choices=[("", ""), *Resolution.choices], read_only=True, help_text="How it was closed; empty while it is open."
    )

    class Meta:
        model = InboxItem
        fields = [
            "id",
            "project",
            "task",
            "run",
            "item_type",
            "title",
            "content",
            "options",
            "status",
            "resolution",
            "resolver",
            "resolved_at",
            "user_input",
            "delivered_at",
            "is_read",
            "created_at",
            "version",
        ]
        read_only_fields = fields


@shown(request={"action": "answer", "user_input": "Only the eight", "expected_version": 1})
class CloseSerializer(VersionedSerializer):
    """How to close an item."""

    action = serializers.ChoiceField(
        choices=get_args(Action), required=False, help_text="Without it: what the type of the item offers first."
    )
    user_input = serializers.CharField(
        required=False,
        allow_blank=True,
        trim_whitespace=False,
        help_text="The answer, or what to change; needed for `answer` and `request_changes`.",
    )
