"""The page of an inbox item, with what is to be reviewed on it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from inbox import admin as inbox
from inbox.models import InboxItem
from inbox.states import ItemType
from runtime.admin.diff import shown_diff
from runtime.models import TaskRun
from security.admin.shown import link, page_url

# As with tasks: the inbox may not know runs, so the page is registered once more here, with the changes on it.
admin.site.unregister(InboxItem)


@admin.register(InboxItem)
class InboxItemAdmin(inbox.InboxItemAdmin):
    change_form_outer_after_template = "admin/runtime/diff.html"

    @admin.display(description="run")
    def run(self, item: InboxItem) -> SafeString | str:
        return link(page_url(TaskRun, item.run_id), str(item.run_id)) if item.run_id else "-"

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        item = context.get("original")
        if item is not None and item.item_type == ItemType.TASK_COMPLETED:
            run = TaskRun.objects.select_related("task__project").filter(pk=item.run_id).first()
            context["diff"] = shown_diff(run, has_link=True) if run else None
        return super().render_change_form(request, context, *args, **kwargs)
