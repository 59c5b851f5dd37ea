from __future__ import annotations

from rest_framework import serializers

from api.bodies import StrictSerializer, VersionedSerializer
from api.examples import shown
from orchestration.models import Document
from orchestration.serializers import examples


@shown(examples.DOCUMENT, request=examples.NEW_DOCUMENT)
class DocumentSerializer(StrictSerializer, serializers.ModelSerializer[Document]):
    """A text of the project that agents are given."""

    tags = serializers.ListField(child=serializers.CharField(max_length=100), required=False, max_length=100)

    class Meta:
        model = Document
        fields = [
            "id",
            "project",
            "path",
            "title",
            "doc_type",
            "body",
            "is_mandatory",
            "tags",
            "content_hash",
            "version",
        ]
        extra_kwargs = {
            # Markdown: a space at the end of a line means something.
            "body": {"trim_whitespace": False},
            "content_hash": {"help_text": "SHA-256 of the body."},
            "is_mandatory": {"help_text": "Given to every agent of the project with every task."},
        }
        # The service answers for a path that is taken.
        validators: list[object] = []


@shown(request=examples.DOCUMENT_CHANGES)
class DocumentChangesSerializer(DocumentSerializer, VersionedSerializer):
    class Meta(DocumentSerializer.Meta):
        fields = [*DocumentSerializer.Meta.fields, "expected_version"]
        read_only_fields = ["project"]
