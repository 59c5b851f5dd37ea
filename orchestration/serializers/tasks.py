from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.bodies import WHOLE, RowField, StrictSerializer, VersionedSerializer
from api.examples import shown
from orchestration.models import Task, key_of
from orchestration.serializers import examples


@extend_schema_field({"type": "number", "exclusiveMinimum": 0})
class AmountField(serializers.FloatField):
    """A number above zero, or none. The service says what is wrong with one that is not."""

    def __init__(self, *, most: int) -> None:
        super().__init__(required=False, allow_null=True, max_value=most)


class LimitsSerializer(StrictSerializer):
    """Caps of one task; each one missing means the agent's own."""

    turns = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=100_000)
    tokens = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=10**12)
    minutes = AmountField(most=60 * 24 * 30)
    usd = AmountField(most=1_000_000)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Leave out what is null: that is the same as missing, so what was read can be sent back and changes nothing."""
        limits: dict[str, Any] = super().to_internal_value(data)
        return {name: value for name, value in limits.items() if value is not None}


class TaskFieldsSerializer(StrictSerializer, serializers.ModelSerializer[Task]):
    """What a person says about a task."""

    checks = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text="Shell commands that must pass besides those of the project.",
    )
    limits = LimitsSerializer(required=False)

    class Meta:
        model = Task
        fields = [
            "project",
            "title",
            "description",
            "acceptance_criteria",
            "task_type",
            "phase",
            "priority",
            "assignee",
            "parent",
            "due_at",
            "not_before",
            "max_attempts",
            "checks",
            "limits",
        ]
        extra_kwargs = {"max_attempts": WHOLE | {"min_value": 1}}


@shown(request=examples.NEW_TASK)
class TaskCreateSerializer(TaskFieldsSerializer):
    depends_on = RowField(
        many=True, queryset=Task.objects.all(), required=False, help_text="Tasks that must be done before this one."
    )

    class Meta(TaskFieldsSerializer.Meta):
        fields = [*TaskFieldsSerializer.Meta.fields, "depends_on"]


@shown(request=examples.TASK_CHANGES)
class TaskChangesSerializer(TaskCreateSerializer, VersionedSerializer):
    is_archived = serializers.BooleanField(
        required=False, help_text="Only what is done, failed or cancelled goes into the archive."
    )

    class Meta(TaskCreateSerializer.Meta):
        fields = [*TaskCreateSerializer.Meta.fields, "is_archived", "expected_version"]
        read_only_fields = ["project"]


class KeyField(serializers.CharField):
    """What `Task.key` says, from the id alone: lists read values, not tasks."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="pk", read_only=True, **kwargs)

    def to_representation(self, value: Any) -> str:
        return key_of(value)


# Read `depends_on` with the task.
class TaskSerializer(TaskFieldsSerializer):
    """A task as it is."""

    key = KeyField(help_text="Its name in branches, folders and commit messages.")
    depends_on = serializers.ListField(child=serializers.IntegerField(), read_only=True)

    class Meta(TaskFieldsSerializer.Meta):
        fields = [
            "id",
            "key",
            *TaskFieldsSerializer.Meta.fields,
            "status",
            "status_reason",
            "depends_on",
            "unmet_dependencies",
            "is_held",
            "cancel_requested_at",
            "approved_at",
            "is_archived",
            "created_at",
            "updated_at",
            "version",
        ]


class TaskSummarySerializer(serializers.ModelSerializer[Task]):
    """A task in a few words."""

    key = KeyField()

    class Meta:
        model = Task
        fields = ["id", "key", "project", "title", "status", "priority", "version"]
        read_only_fields = fields
