"""Projects."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from orchestration.admin.bulk import command_rows
from orchestration.admin.filters import ArchivedFilter
from orchestration.admin.service import ServiceAdmin
from orchestration.exceptions import InvalidRepository, SlugTaken
from orchestration.models import Project
from orchestration.services import projects
from security.admin.shown import usd
from security.roles import Role


@admin.register(Project)
class ProjectAdmin(ServiceAdmin[Project]):
    write_role = Role.ADMIN
    project_path = "pk"
    list_display = (
        "name",
        "slug",
        "root_path",
        "base_branch",
        "max_parallel_runs",
        "budget",
        "auto_approve",
        "is_paused",
    )
    list_filter = (ArchivedFilter, "is_paused", "auto_approve")
    list_filter_submit = True
    search_fields = ("name", "slug", "root_path")
    ordering = ("name",)
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = ("last_served_at", "created_at", "version")
    help_texts = {
        "root_path": "The folder of a git repository on this machine; agents work in worktrees of their own.",
        "base_branch": "Work begins from it, and what is approved is merged into it.",
        "setup_command": "Run by the shell in each new worktree before the agent begins, such as: npm ci",
        "max_parallel_runs": "How many agents may work in it at once; 0: none.",
        "daily_budget_usd": "Nothing new starts when it is used up (UTC). Empty: no cap.",
        "auto_approve": "Merge finished work that passes its checks, without a review.",
        "is_paused": "Start nothing new; what runs goes on.",
    }
    lines_fields = {"checks": "Commands that must pass before work counts as finished, one a line."}
    object_fields = {
        "daily_limits": 'For a day (UTC), any of: {"runs": 50, "turns": 5000, "tokens": 20000000, "minutes": 960}.'
    }
    fields_at_fault = {InvalidRepository: "root_path", SlugTaken: "slug"}
    fieldsets = (
        (None, {"fields": ("name", "slug", "root_path", "base_branch")}),
        ("Workspace", {"fields": ("setup_command", "checks")}),
        ("Limits", {"fields": ("max_parallel_runs", "max_in_review", "daily_budget_usd", "daily_limits")}),
        ("Switches", {"fields": ("auto_approve", "is_paused", "is_archived")}),
        ("State", {"fields": ("last_served_at", "created_at", "version")}),
    )

    actions = ("pause", "resume")

    @admin.action(description="Pause", permissions=["operate"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Project]) -> None:
        command_rows(request, queryset, partial(projects.update_project, is_paused=True), "paused")

    @admin.action(description="Resume", permissions=["operate"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Project]) -> None:
        command_rows(request, queryset, partial(projects.update_project, is_paused=False), "resumed")

    @admin.display(description="a day", ordering="daily_budget_usd")
    def budget(self, project: Project) -> str:
        return usd(project.daily_budget_usd)

    def create(self, *, actor: str, **values: Any) -> Project:
        return projects.create_project(actor=actor, **values)

    def update(self, row: Project, *, actor: str, expected_version: int | None, **changes: Any) -> Project:
        return projects.update_project(row, actor=actor, expected_version=expected_version, **changes)
