from __future__ import annotations

from typing import Any

from rest_framework import serializers

from api.bodies import WHOLE, RowField, StrictSerializer, VersionedSerializer
from api.examples import shown
from orchestration.models import Task, key_of
from orchestration.serializers import examples
from orchestration.serializers.limits import LimitsSerializer


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
