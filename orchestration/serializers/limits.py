"""The caps of tasks, agents and projects in bodies."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.bodies import StrictSerializer


@extend_schema_field({"type": "number", "exclusiveMinimum": 0})
class AmountField(serializers.FloatField):
    """A number above zero, or none. The service says what is wrong with one that is not."""

    def __init__(self, *, most: int) -> None:
        super().__init__(required=False, allow_null=True, max_value=most)


class CountField(serializers.IntegerField):
    """A whole number above zero, or none."""

    def __init__(self, *, most: int) -> None:
        super().__init__(required=False, allow_null=True, min_value=1, max_value=most)


class CapsSerializer(StrictSerializer):
    turns = CountField(most=10**9)
    tokens = CountField(most=10**12)
    minutes = AmountField(most=60 * 24 * 365)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Leave out what is null: that is the same as missing, so what was read can be sent back and changes nothing."""
        caps: dict[str, Any] = super().to_internal_value(data)
        return {name: value for name, value in caps.items() if value is not None}


class LimitsSerializer(CapsSerializer):
    """Caps of one task, over all its runs; each one missing means that only the agent's own hold."""

    usd = AmountField(most=1_000_000)


class ProjectDaySerializer(CapsSerializer):
    """Caps of a project for one day (UTC), beside `daily_budget_usd`; each one missing means no cap."""

    runs = CountField(most=1_000_000)


class AgentDaySerializer(ProjectDaySerializer):
    """Caps of an agent for one day (UTC); each one missing means no cap."""

    usd = AmountField(most=1_000_000)
