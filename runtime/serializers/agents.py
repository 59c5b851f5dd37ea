from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.examples import shown
from orchestration.states import AgentStatus
from runtime.load import client_refusal
from runtime.serializers import examples


class FailureSerializer(serializers.Serializer[Any]):
    """The last run that failed."""

    run = serializers.IntegerField()
    error_code = serializers.CharField()
    at = serializers.DateTimeField(allow_null=True)


@shown(examples.HEALTH)
class HealthSerializer(serializers.Serializer[Any]):
    """Whether an agent can work, how busy it is, and what went wrong last."""

    agent = serializers.IntegerField(source="pk")
    status = serializers.ChoiceField(choices=AgentStatus.choices)
    client = serializers.SerializerMethodField(
        help_text="Why its client cannot work; empty: it can; null: only the scheduler's host can tell."
    )
    running = serializers.IntegerField(help_text="Runs that hold one of its slots.")
    max_parallel_runs = serializers.IntegerField()
    queued = serializers.IntegerField(
        help_text="Runs that wait to go on: to be retried, interrupted, or not yet taken."
    )
    waiting = serializers.IntegerField(help_text="Tasks that name it and have not begun.")
    cost_today_usd = serializers.DecimalField(max_digits=14, decimal_places=6, source="cost_today")
    last_failure = serializers.SerializerMethodField()

    def get_client(self, agent: Any) -> str | None:
        return client_refusal(str(agent.provider))

    @extend_schema_field(FailureSerializer(allow_null=True))
    def get_last_failure(self, agent: Any) -> dict[str, Any] | None:
        if agent.failed_run is None:
            return None
        told = {"run": agent.failed_run, "error_code": agent.failed_code, "at": agent.failed_at}
        return dict(FailureSerializer(told).data)
