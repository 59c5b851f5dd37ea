from __future__ import annotations

from rest_framework import serializers

from api.bodies import WHOLE, RowField, StrictSerializer, VersionedSerializer
from api.examples import shown
from orchestration.models import Task
from orchestration.serializers import examples


class LimitsSerializer(StrictSerializer):
    """Caps of one task; each one missing means the agent's own."""

    turns = serializers.IntegerField(required=False, allow_null=True)
    tokens = serializers.IntegerField(required=False, allow_null=True)
    minutes = serializers.FloatField(required=False, allow_null=True)
    usd = serializers.FloatField(required=False, allow_null=True)


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


# Read `depends_on` with the task.
class TaskSerializer(TaskFieldsSerializer):
    """A task as it is."""

    key = serializers.CharField(read_only=True, help_text="Its name in branches, folders and commit messages.")
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

    key = serializers.CharField(read_only=True)

    class Meta:
        model = Task
        fields = ["id", "key", "project", "title", "status", "priority", "version"]
        read_only_fields = fields
