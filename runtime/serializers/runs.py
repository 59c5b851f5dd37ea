from __future__ import annotations

from typing import get_args

from rest_framework import serializers

from api.bodies import MAX_WHOLE, StrictSerializer
from api.examples import shown
from runtime.models import RunLog, TaskRun
from runtime.serializers import examples
from runtime.workspace import FileStatus


# Select `task`.
@shown(examples.RUN)
class RunSerializer(serializers.ModelSerializer[TaskRun]):
    """One attempt at a task."""

    project = serializers.IntegerField(source="task.project_id", read_only=True)

    class Meta:
        model = TaskRun
        fields = [
            "id",
            "project",
            "task",
            "agent",
            "attempt",
            "retry_of",
            "epoch",
            "status",
            "trace_id",
            "created_at",
            "started_at",
            "ended_at",
            "next_retry_at",
            "session_id",
            "workspace",
            "branch",
            "base_commit",
            "head_commit",
            "merge_commit",
            "log_seq",
            "summary",
            "error_code",
            "error_message",
            "token_in",
            "token_out",
            "token_cache_read",
            "token_cache_write",
            "cost_usd",
            "cost_cap_usd",
            "turns",
            "worked_s",
            "turn_cap",
            "token_cap",
            "time_cap_s",
            "version",
        ]
        read_only_fields = fields


class LogQuerySerializer(StrictSerializer):
    """Which lines of a log."""

    after = serializers.IntegerField(
        default=0, min_value=0, max_value=MAX_WHOLE, help_text="The last line that is known already."
    )
    limit = serializers.IntegerField(default=500, min_value=1, max_value=1000)


class LogLineSerializer(serializers.ModelSerializer[RunLog]):
    body = serializers.DictField(read_only=True)

    class Meta:
        model = RunLog
        fields = ["seq", "at", "kind", "body"]
        read_only_fields = fields


@shown(examples.LOG_PAGE)
class LogPageSerializer(serializers.Serializer[object]):
    """Lines in their order."""

    lines = LogLineSerializer(many=True)
    next = serializers.IntegerField(help_text="Give it as `after` to read on.")


class DiffFileSerializer(serializers.Serializer[object]):
    path = serializers.CharField()
    status = serializers.ChoiceField(choices=get_args(FileStatus))
    old_path = serializers.CharField(help_text="Set for a renamed file.")
    additions = serializers.IntegerField()
    deletions = serializers.IntegerField()
    is_binary = serializers.BooleanField()


@shown(examples.DIFF)
class DiffSerializer(serializers.Serializer[object]):
    """What a run changed."""

    base = serializers.CharField(help_text="The commit the run started from.")
    head = serializers.CharField()
    text = serializers.CharField(help_text="Unified diff.")
    files = DiffFileSerializer(many=True)
    is_truncated = serializers.BooleanField(help_text="Files are left out of the text or the list.")
