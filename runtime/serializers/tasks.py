from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.bodies import MAX_WHOLE, RowField, StrictSerializer, VersionedSerializer
from api.examples import shown
from api.filters import MAX_ID
from orchestration.models import Agent, Project
from orchestration.serializers import tasks
from orchestration.states import Reason, TaskStatus
from runtime.serializers import examples
from runtime.services.broadcasting import MAX_TASKS


@shown(examples.TASK)
class TaskSerializer(tasks.TaskSerializer):
    """A task as it is, with the run under way."""

    active_run = serializers.IntegerField(read_only=True, allow_null=True, help_text="The run that has not ended.")
    subtasks_total = serializers.IntegerField(read_only=True, help_text="Without those that were cancelled.")
    subtasks_done = serializers.IntegerField(read_only=True)

    class Meta(tasks.TaskSerializer.Meta):
        fields = [*tasks.TaskSerializer.Meta.fields, "active_run", "subtasks_total", "subtasks_done"]


class CommandSerializer(VersionedSerializer):
    """A command that needs no words."""


@shown(request=examples.CHANGES)
class RequestChangesSerializer(CommandSerializer):
    """What to change."""

    changes = serializers.CharField(trim_whitespace=False)


@shown(examples.WAIT)
class WaitSerializer(serializers.Serializer[object]):
    """Why a task does not start now."""

    status = serializers.ChoiceField(choices=TaskStatus.choices)
    reason = serializers.ChoiceField(
        choices=Reason.choices, allow_null=True, help_text="Null: nothing keeps it, or it does not wait for a start."
    )
    detail = serializers.CharField(help_text="The same in a sentence.")
    waits_until = serializers.DateTimeField(allow_null=True, help_text="Set where it waits for time alone.")


@shown(request=examples.RUN_REQUEST)
class RunRequestSerializer(CommandSerializer):
    """Start now, as soon as there is room."""

    agent = RowField(
        queryset=Agent.objects.all(),
        required=False,
        help_text="Who is to do it. Without: the assignee, else the least busy agent of the project.",
    )


_VERSION = {"type": "integer", "minimum": 1, "maximum": MAX_WHOLE}


@extend_schema_field(
    {"type": "object", "propertyNames": {"pattern": "^[0-9]{1,18}$"}, "additionalProperties": _VERSION}
)
class VersionsField(serializers.DictField):
    """Versions, by the ids of rows."""

    child = serializers.IntegerField(min_value=1, max_value=MAX_WHOLE)


@shown(request=examples.BROADCAST)
class BroadcastSerializer(StrictSerializer):
    """Which tasks get the command: those that all selectors given agree on."""

    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=MAX_ID), required=False, max_length=MAX_TASKS
    )
    statuses = serializers.ListField(
        child=serializers.ChoiceField(choices=TaskStatus.choices), required=False, max_length=len(TaskStatus)
    )
    agent = RowField(
        queryset=Agent.objects.all(), required=False, help_text="Tasks assigned to this agent, or being done by it."
    )
    project = RowField(queryset=Project.objects.all(), required=False)
    expected_versions = VersionsField(
        required=False,
        help_text="By task id, the version that was read; a task that has another one now is a conflict.",
    )
    changes = serializers.CharField(
        required=False, trim_whitespace=False, help_text="What to change; for `request-changes`, and only there."
    )

    def validate_expected_versions(self, given: dict[str, int]) -> dict[int, int]:
        """Return the versions by the ids that the names of a JSON object stand for."""
        if unfit := [name for name in given if not (name.isascii() and name.isdecimal() and len(name) < 19)]:
            raise serializers.ValidationError(f"{unfit[0][:50]!r} is no id of a task.")
        return {int(name): version for name, version in given.items()}


class OutcomeSerializer(serializers.Serializer[Any]):
    """What became of the command for one task, and how the task is now."""

    task = serializers.IntegerField()
    outcome = serializers.ChoiceField(choices=["applied", "refused", "conflict"])
    code = serializers.CharField(allow_null=True, help_text="Why not; null where the command was applied.")
    detail = serializers.CharField()
    status = serializers.ChoiceField(
        choices=TaskStatus.choices, allow_null=True, help_text="Null: there is no such task."
    )
    version = serializers.IntegerField(allow_null=True)


@shown(examples.BROADCAST_RESULT)
class BroadcastResultSerializer(serializers.Serializer[Any]):
    """What became of one command, task by task."""

    command = serializers.CharField()
    applied = serializers.IntegerField()
    refused = serializers.IntegerField()
    conflicts = serializers.IntegerField()
    results = OutcomeSerializer(many=True)
