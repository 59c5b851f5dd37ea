"""The page of an agent, with what only this side knows: providers, models, clients, and how busy it is."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from orchestration import admin as orchestration
from orchestration.admin.bulk import command_rows
from orchestration.models import Agent, Task
from orchestration.states import AgentStatus
from runtime.load import client_refusal, with_load
from runtime.models import TaskRun
from runtime.services import deletion, staffing
from security.admin.shown import changelist_url, link, page_url, usd

# As with tasks: the page is registered once more by the layer that can check what is written on it.
admin.site.unregister(Agent)


@admin.register(Agent)
class AgentAdmin(orchestration.AgentAdmin):
    list_display = (
        "name",
        "project",
        "role",
        "state",
        "load",
        "queued",
        "waiting",
        "cost",
        "last_failure",
        "client",
        "model",
    )
    actions = ("pause", "activate")
    readonly_fields = (
        *orchestration.AgentAdmin.readonly_fields,
        "load",
        "queued",
        "waiting",
        "cost",
        "last_failure",
        "client",
    )
    fieldsets = (
        *orchestration.AgentAdmin.fieldsets[:-1],
        ("Load", {"fields": (("load", "queued", "waiting"), ("cost", "last_failure", "client"))}),
        orchestration.AgentAdmin.fieldsets[-1],
    )

    def get_fieldsets(self, request: HttpRequest, obj: Agent | None = None) -> Any:
        """Leave out the load of an agent that is only about to be."""
        sections = super().get_fieldsets(request, obj)
        return [section for section in sections if obj is not None or section[0] not in {"Load", "State"}]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Agent]:
        return with_load(super().get_queryset(request))

    @admin.display(description="running")
    def load(self, agent: Any) -> SafeString:
        url = changelist_url(TaskRun, agent__id__exact=agent.pk, status__exact="running")
        return link(url, f"{agent.running or 0} of {agent.max_parallel_runs}")

    @admin.display(description="queued", ordering="queued")
    def queued(self, agent: Any) -> int:
        return agent.queued or 0

    @admin.display(description="waiting")
    def waiting(self, agent: Any) -> SafeString | str:
        if not agent.waiting:
            return "0"
        return link(changelist_url(Task, assignee__id__exact=agent.pk, status__exact="todo"), f"{agent.waiting:,}")

    @admin.display(description="cost today")
    def cost(self, agent: Any) -> str:
        return usd(agent.cost_today or Decimal(0))

    @admin.display(description="last failure")
    def last_failure(self, agent: Any) -> SafeString | str:
        if agent.failed_run is None:
            return "-"
        ago = f", {timesince(agent.failed_at, depth=1)} ago" if agent.failed_at else ""
        return link(page_url(TaskRun, agent.failed_run), f"{agent.failed_code or 'unknown'}{ago}")

    @admin.display(description="client")
    def client(self, agent: Any) -> SafeString | str:
        refusal = client_refusal(agent.provider)
        if refusal:
            return format_html('<span class="bbb-bad" title="{}">{}: not here</span>', refusal, agent.provider)
        return agent.provider if refusal is None else "ready"

    def create(self, *, actor: str, **values: Any) -> Agent:
        return staffing.create_agent(actor=actor, **values)

    def update(self, row: Agent, *, actor: str, expected_version: int | None, **changes: Any) -> Agent:
        return staffing.update_agent(row, actor=actor, expected_version=expected_version, **changes)

    def delete(self, row: Agent, *, actor: str) -> None:
        deletion.delete_agent(row, actor=actor)

    @admin.action(description="Pause", permissions=["operate"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        command_rows(request, queryset, partial(staffing.update_agent, status=AgentStatus.PAUSED), "paused")

    @admin.action(description="Activate", permissions=["operate"])
    def activate(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        command_rows(request, queryset, partial(staffing.update_agent, status=AgentStatus.ACTIVE), "activated")
