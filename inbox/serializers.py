from __future__ import annotations

from typing import get_args

from rest_framework import serializers

from api.bodies import VersionedSerializer
from inbox.models import InboxItem
from inbox.services import Action


class ItemSerializer(serializers.ModelSerializer[InboxItem]):
    """What waits for a person, or waited."""

    run = serializers.IntegerField(source="run_id", allow_null=True, read_only=True)
    options = serializers.ListField(child=serializers.CharField(), read_only=True, help_text="Answers to choose from.")

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
