"""The page of a project, with what only this side knows: what it takes to delete one."""

from __future__ import annotations

from django.contrib import admin

from orchestration import admin as orchestration
from orchestration.models import Project
from runtime.services import deletion

# As with tasks: the page is registered once more by the layer that knows who needs the row.
admin.site.unregister(Project)


@admin.register(Project)
class ProjectAdmin(orchestration.ProjectAdmin):
    def delete(self, row: Project, *, actor: str) -> None:
        deletion.delete_project(row, actor=actor)
