from __future__ import annotations

from rest_framework import serializers

from api.bodies import WHOLE, StrictSerializer, VersionedSerializer
from api.examples import shown
from orchestration.models import Project
from orchestration.serializers import examples
from orchestration.serializers.limits import ProjectDaySerializer


@shown(examples.PROJECT, request=examples.NEW_PROJECT)
class ProjectSerializer(StrictSerializer, serializers.ModelSerializer[Project]):
    """A git repository and its rules."""

    checks = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text="Shell commands that must pass before work of this project counts as finished.",
    )
    daily_budget_usd = serializers.DecimalField(
        max_digits=12, decimal_places=6, min_value=0, allow_null=True, required=False, help_text="Null: no budget."
    )
    daily_limits = ProjectDaySerializer(required=False)

    class Meta:
        model = Project
        fields = [
            "id",
            "name",
            "slug",
            "root_path",
            "base_branch",
            "setup_command",
            "checks",
            "max_parallel_runs",
            "max_in_review",
            "daily_budget_usd",
            "daily_limits",
            "auto_approve",
            "is_paused",
            "is_archived",
            "created_at",
            "version",
        ]
        read_only_fields = ["is_archived"]
        extra_kwargs = {
            # The service answers for a slug that is taken.
            "slug": {"required": False, "validators": [], "help_text": "Made from the name when not given."},
            "max_parallel_runs": WHOLE,
            "max_in_review": WHOLE,
        }


@shown(request=examples.PROJECT_CHANGES)
class ProjectChangesSerializer(ProjectSerializer, VersionedSerializer):
    class Meta(ProjectSerializer.Meta):
        fields = [*ProjectSerializer.Meta.fields, "expected_version"]
        read_only_fields: list[str] = []
