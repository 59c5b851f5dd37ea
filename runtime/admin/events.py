"""The event log, with links to what events speak of."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

from events import admin as events
from events.models import Event
from orchestration.models import Project, Task
from runtime.models import TaskRun
from security.admin.shown import link, page_url

# As with tasks: the page is registered once more, here, with what the log may not know.
admin.site.unregister(Event)
_LINKED = {"project_id": "project", "task_id": "task", "run_id": "run"}


@admin.register(Event)
class EventAdmin(events.EventAdmin):
    list_display = tuple(_LINKED.get(name, name) for name in events.EventAdmin.list_display)
    fields = tuple(_LINKED.get(name, name) for name in events.EventAdmin.fields)
    readonly_fields = (*events.EventAdmin.readonly_fields, *_LINKED.values())

    @admin.display(description="project")
    def project(self, event: Event) -> SafeString | str:
        return link(page_url(Project, event.project_id), event.project_id) if event.project_id else "-"

    @admin.display(description="task")
    def task(self, event: Event) -> SafeString | str:
        return link(page_url(Task, event.task_id), event.task_id) if event.task_id else "-"

    @admin.display(description="run")
    def run(self, event: Event) -> SafeString | str:
        return link(page_url(TaskRun, event.run_id), event.run_id) if event.run_id else "-"
