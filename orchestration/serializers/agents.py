from __future__ import annotations

from rest_framework import serializers

from api.bodies import WHOLE, StrictSerializer, VersionedSerializer
from api.examples import shown
from orchestration.models import Agent
from orchestration.serializers import examples
from orchestration.serializers.limits import AgentDaySerializer


@shown(examples.AGENT, request=examples.NEW_AGENT)
class AgentSerializer(StrictSerializer, serializers.ModelSerializer[Agent]):
    """Who does the work."""

    enabled_tools = serializers.ListField(child=serializers.CharField(max_length=200), required=False)
    max_cost_usd = serializers.DecimalField(
        max_digits=12, decimal_places=6, min_value=0, required=False, help_text="For one start of a run; 0: no cap."
    )
    max_tokens = serializers.IntegerField(
        min_value=0,
        max_value=10**12,
        required=False,
        help_text="For one start of a run: those in, out and written to the cache; 0: no cap.",
    )
    daily_limits = AgentDaySerializer(required=False)

    class Meta:
        model = Agent
        fields = [
            "id",
            "project",
            "name",
            "role",
            "provider",
            "model",
            "persona",
            "enabled_tools",
            "permission_mode",
            "max_parallel_runs",
            "timeout_s",
            "max_turns",
            "max_tokens",
            "max_cost_usd",
            "daily_limits",
            "status",
            "created_at",
            "version",
        ]
        extra_kwargs = {
            "max_parallel_runs": WHOLE,
            "timeout_s": WHOLE | {"min_value": 1},
            "max_turns": WHOLE,
        }
        # The service answers for a name that is taken.
        validators: list[object] = []


@shown(request=examples.AGENT_CHANGES)
class AgentChangesSerializer(AgentSerializer, VersionedSerializer):
    class Meta(AgentSerializer.Meta):
        fields = [*AgentSerializer.Meta.fields, "expected_version"]
        read_only_fields = ["project"]
