"""Agents."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from orchestration.admin.service import ServiceAdmin
from orchestration.exceptions import NameTaken
from orchestration.models import Agent
from orchestration.services import agents
from orchestration.states import AgentStatus
from security.admin.base import RelatedFilter, labelled
from security.admin.shown import usd
from security.roles import Role

COLOURS = {AgentStatus.ACTIVE: "success", AgentStatus.PAUSED: "warning", AgentStatus.ARCHIVED: ""}


@admin.register(Agent)
class AgentAdmin(ServiceAdmin[Agent]):
    write_role = Role.ADMIN
    project_path = "project"
    list_display: tuple[str, ...] = (
        "name",
        "project",
        "role",
        "state",
        "provider",
        "model",
        "max_parallel_runs",
        "may_cost",
    )
    list_filter = (("status", ChoicesDropdownFilter), ("project", RelatedFilter), "provider")
    list_filter_submit = True
    list_select_related = ("project",)
    search_fields = ("name", "role", "project__name")
    ordering = ("project__name", "name")
    autocomplete_fields = ("project",)
    fixed_fields = ("project",)
    readonly_fields: ClassVar[tuple[str, ...]] = ("created_at", "version")
    lines_fields = {"enabled_tools": "Names of tools, one a line."}
    object_fields = {
        "daily_limits": 'For a day (UTC), any of: {"runs": 20, "turns": 1000, "tokens": 5000000, "minutes": 240, "usd": 20}.'
    }
    fields_at_fault = {NameTaken: "name"}
    fieldsets: ClassVar[tuple[Any, ...]] = (
        (None, {"fields": ("project", "name", "role", "status", "persona")}),
        ("Client", {"fields": ("provider", "model", "permission_mode", "enabled_tools")}),
        (
            "Limits",
            {"fields": ("max_parallel_runs", "timeout_s", "max_turns", "max_tokens", "max_cost_usd", "daily_limits")},
        ),
        ("State", {"fields": ("created_at", "version")}),
    )

    @labelled("status", COLOURS, ordering="status")
    def state(self, agent: Agent) -> tuple[str, str]:
        return agent.status, agent.get_status_display()

    @admin.display(description="may cost", ordering="max_cost_usd")
    def may_cost(self, agent: Agent) -> str:
        return usd(agent.max_cost_usd)

    def create(self, *, actor: str, **values: Any) -> Agent:
        return agents.create_agent(actor=actor, **values)

    def update(self, row: Agent, *, actor: str, expected_version: int | None, **changes: Any) -> Agent:
        return agents.update_agent(row, actor=actor, expected_version=expected_version, **changes)
