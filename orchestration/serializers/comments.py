from __future__ import annotations

from rest_framework import serializers

from api.bodies import StrictSerializer, VersionedSerializer
from api.examples import shown
from api.filters import MAX_ID
from orchestration.models import Comment
from orchestration.serializers import examples


def _said(body: str) -> str:
    """Return the words as they are; white space alone says nothing."""
    if not body.strip():
        raise serializers.ValidationError("This field may not be blank.", code="blank")
    return body


@shown(examples.COMMENT, request=examples.NEW_COMMENT)
class CommentSerializer(StrictSerializer, serializers.ModelSerializer[Comment]):
    """What somebody says about a task, the diff of a run, or a document."""

    run = serializers.IntegerField(
        source="run_id",
        required=False,
        allow_null=True,
        min_value=1,
        max_value=MAX_ID,
        help_text="The run into whose diff `anchor` points.",
    )

    class Meta:
        model = Comment
        fields = ["id", "task", "document", "run", "anchor", "body", "author", "status", "created_at", "version"]
        read_only_fields = ["author", "status"]
        extra_kwargs = {"body": {"trim_whitespace": False}}

    def validate_body(self, body: str) -> str:
        return _said(body)


@shown(request=examples.COMMENT_CHANGES)
class CommentChangesSerializer(VersionedSerializer, serializers.ModelSerializer[Comment]):
    """New words, or another status."""

    class Meta:
        model = Comment
        fields = ["body", "status", "expected_version"]
        extra_kwargs = {"body": {"trim_whitespace": False}}

    def validate_body(self, body: str) -> str:
        return _said(body)
