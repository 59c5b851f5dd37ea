"""Tasks and what they wait for."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from orchestration.admin.filters import ArchivedFilter, ViewFilter
from orchestration.admin.service import ServiceAdmin
from orchestration.models import Task, TaskDependency
from orchestration.services import dependencies, tasks
from orchestration.services.locks import lock_graph
from orchestration.states import TaskStatus
from security.admin.base import RelatedFilter, RowsInline, has_role, labelled
from security.identity import actor_of
from security.roles import Role

COLOURS = {
    TaskStatus.TODO: "",
    TaskStatus.RUNNING: "info",
    TaskStatus.REVIEW: "primary",
    TaskStatus.DONE: "success",
    TaskStatus.BLOCKED: "warning",
    TaskStatus.FAILED: "danger",
    TaskStatus.CANCELLED: "",
}


class DependencyInline(RowsInline[TaskDependency, Task]):
    """What the task waits for. An edge is made or removed, never changed."""

    model = TaskDependency
    fk_name = "task"
    fields = ("depends_on", "state")
    readonly_fields = ("state",)
    autocomplete_fields = ("depends_on",)
    verbose_name = "dependency"
    verbose_name_plural = "Starts only when these are done"
    extra = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[TaskDependency]:
        return super().get_queryset(request).select_related("depends_on", "task")

    @admin.display(description="status")
    def state(self, dependency: TaskDependency) -> str:
        return dependency.depends_on.get_status_display() if dependency.pk else ""

    def has_add_permission(self, request: HttpRequest, obj: Task | None = None) -> bool:
        return has_role(request, Role.OPERATOR)

    def has_change_permission(self, request: HttpRequest, obj: Task | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Task | None = None) -> bool:
        return has_role(request, Role.OPERATOR)

    def has_view_permission(self, request: HttpRequest, obj: Task | None = None) -> bool:
        return has_role(request, Role.VIEWER)


@admin.register(Task)
class TaskAdmin(ServiceAdmin[Task]):
    project_path = "project"
    list_display = ("id", "title", "project", "state", "status_reason", "priority", "assignee", "waits", "updated_at")
    list_display_links = ("id", "title")
    list_filter = (
        ViewFilter,
        ("status", ChoicesDropdownFilter),
        ("project", RelatedFilter),
        ("assignee", RelatedFilter),
        ("parent", RelatedFilter),
        ("priority", ChoicesDropdownFilter),
        ("task_type", ChoicesDropdownFilter),
        ("phase", ChoicesDropdownFilter),
        "is_held",
        ArchivedFilter,
    )
    list_filter_submit = True
    list_select_related = ("project", "assignee")
    search_fields = ("title", "description", "project__name")
    ordering = ("-id",)
    autocomplete_fields = ("project", "assignee", "parent")
    fixed_fields = ("project",)
    inlines = (DependencyInline,)
    lines_fields = {"checks": "Commands that must pass before work counts as finished, one a line."}
    readonly_fields: ClassVar[tuple[str, ...]] = (
        "status",
        "status_reason",
        "unmet_dependencies",
        "is_held",
        "cancel_requested_at",
        "approved_at",
        "is_archived",
        "created_at",
        "updated_at",
        "version",
    )
    object_fields = {
        "limits": 'For all its runs together, any of: {"turns": 100, "tokens": 1000000, "minutes": 60, "usd": 5}.'
    }
    fieldsets: ClassVar[tuple[Any, ...]] = (
        (None, {"fields": ("project", "title", "description", "acceptance_criteria")}),
        ("How", {"fields": ("task_type", "phase", "priority", "assignee", "parent")}),
        ("When", {"fields": ("not_before", "due_at")}),
        ("Limits", {"fields": ("max_attempts", "checks", "limits")}),
        (
            "State",
            {
                "fields": (
                    ("status", "status_reason"),
                    ("unmet_dependencies", "is_held", "is_archived"),
                    ("cancel_requested_at", "approved_at"),
                    ("created_at", "updated_at", "version"),
                )
            },
        ),
    )

    @labelled("status", COLOURS, ordering="status")
    def state(self, task: Task) -> tuple[str, str]:
        return task.status, "Held" if task.is_held and task.status == TaskStatus.TODO else task.get_status_display()

    @admin.display(description="waits for", ordering="unmet_dependencies")
    def waits(self, task: Task) -> str:
        return str(task.unmet_dependencies or "")

    def create(self, *, actor: str, **values: Any) -> Task:
        return tasks.create_task(actor=actor, **values)

    def update(self, row: Task, *, actor: str, expected_version: int | None, **changes: Any) -> Task:
        # The edges on the page are saved after the row, and their lock comes before it.
        lock_graph(row.project_id)
        return tasks.update_task(row, actor=actor, expected_version=expected_version, **changes)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: Any) -> None:
        """Make and remove the edges that were edited."""
        actor = actor_of(request)
        made = formset.save(commit=False)
        for edge in formset.deleted_objects:
            dependencies.remove_dependency(edge, actor=actor)
        for edge in made:
            dependencies.add_dependency(form.instance, depends_on=edge.depends_on, actor=actor)
