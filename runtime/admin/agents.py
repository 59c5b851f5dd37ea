"""The page of an agent, with what only this side knows: providers, models and clients."""

from __future__ import annotations

from typing import Any

from django.contrib import admin

from orchestration import admin as orchestration
from orchestration.models import Agent
from runtime.services import staffing

# As with tasks: the page is registered once more by the layer that can check what is written on it.
admin.site.unregister(Agent)


@admin.register(Agent)
class AgentAdmin(orchestration.AgentAdmin):
    def create(self, *, actor: str, **values: Any) -> Agent:
        return staffing.create_agent(actor=actor, **values)

    def update(self, row: Agent, *, actor: str, expected_version: int | None, **changes: Any) -> Agent:
        return staffing.update_agent(row, actor=actor, expected_version=expected_version, **changes)
