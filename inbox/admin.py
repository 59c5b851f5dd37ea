"""The inbox."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.enums import ActionVariant

from inbox.models import InboxItem
from inbox.services import Action, close_item, mark_read, offered_by
from inbox.states import ItemStatus, ItemType
from orchestration.admin.bulk import command_rows
from security.admin.base import DialogForm, ReadOnlyAdmin, RelatedFilter, back_to, detail_action, found, labelled
from security.admin.shown import prose
from security.admin.words import WordsForm

COLOURS = {ItemStatus.OPEN: "warning", ItemStatus.CLOSED: ""}
# What people call the types of items, and in which colour.
KINDS = {
    ItemType.AWAIT_USER_INPUT: ("Question", "warning"),
    ItemType.PERMISSION_REQUEST: ("Permission", "warning"),
    ItemType.TASK_COMPLETED: ("Review", "primary"),
    ItemType.MERGE_CONFLICT: ("Conflict", "danger"),
    ItemType.ALERT: ("Alert", "danger"),
}
_LONGEST_QUESTION = 500


class AnswerForm(WordsForm):
    """Asks for an answer, and repeats the question and what the agent proposed: the dialog hides the page."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        item = InboxItem.objects.filter(pk=self.object_id).first()
        if item is not None and item.content:
            self.fields["words"].label = item.content[:_LONGEST_QUESTION]
        if item is not None and item.options:
            self.fields["words"].help_text = f"Proposed: {' · '.join(map(str, item.options))}"


@admin.register(InboxItem)
class InboxItemAdmin(ReadOnlyAdmin[InboxItem]):
    project_path = "project"
    list_display = ("id", "kind", "title", "state", "resolution", "project", "created_at")
    list_display_links = ("id", "title")
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("item_type", ChoicesDropdownFilter),
        ("resolution", ChoicesDropdownFilter),
        ("project", RelatedFilter),
        ("task", RelatedFilter),
        "is_read",
    )
    list_filter_submit = True
    list_select_related = ("project",)
    search_fields = ("title", "content", "user_input", "task__title")
    # What is open stands first: "open" sorts behind "closed".
    ordering = ("-status", "-id")
    actions = ("approve", "dismiss", "read")
    actions_detail = ("request_changes_one", "approve_one", "answer_one", "dismiss_one")
    readonly_fields = ("asks_for", "text", "proposed", "run", "answer", "created_at")
    fieldsets = (
        (None, {"fields": ("title", ("asks_for", "status"), "text", "proposed", ("project", "task", "run"))}),
        ("Answer", {"fields": (("resolution", "resolved_at"), "resolver", "answer", "delivered_at")}),
        ("State", {"classes": ("collapse",), "fields": (("is_read", "created_at", "version"), "dedupe_key")}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: InboxItem | None = None) -> Any:
        """Leave out what there is not: options, and the answer while it is to be decided on."""
        (name, options), *sections = super().get_fieldsets(request, obj)
        has_options = obj is not None and bool(obj.options)
        fields = [field for field in options["fields"] if field != "proposed" or has_options]
        is_open = obj is not None and obj.status == ItemStatus.OPEN
        shown = [section for section in sections if not (is_open and section[0] == "Answer")]
        return [(name, {**options, "fields": fields}), *shown]

    @labelled("kind", dict(KINDS.values()), ordering="item_type")
    def kind(self, item: InboxItem) -> tuple[str, str]:
        name, _ = KINDS[ItemType(item.item_type)]
        return name, name

    @admin.display(description="kind")
    def asks_for(self, item: InboxItem) -> str:
        return KINDS[ItemType(item.item_type)][0]

    @admin.display(description="run")
    def run(self, item: InboxItem) -> SafeString | str:
        return str(item.run_id or "-")

    @labelled("status", COLOURS, ordering="status")
    def state(self, item: InboxItem) -> tuple[str, str]:
        return item.status, item.get_status_display()

    @admin.display(description="content")
    def text(self, item: InboxItem) -> SafeString | str:
        return prose(item.content)

    @admin.display(description="answer")
    def answer(self, item: InboxItem) -> SafeString | str:
        return prose(item.user_input)

    @admin.display(description="options")
    def proposed(self, item: InboxItem) -> SafeString | str:
        return prose("\n".join(map(str, item.options)))

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        """Offer what the type of the item allows while it is open."""
        item = self.get_object(request, object_id)
        if item is None or item.status != ItemStatus.OPEN:
            return []
        offered = {f"inbox_inboxitem_{action}_one" for action in offered_by(item)}
        return [action for action in super().get_actions_detail(request, object_id) if action.action_name in offered]

    @admin.action(description="Approve", permissions=["operate"])
    def approve(self, request: HttpRequest, queryset: QuerySet[InboxItem]) -> None:
        command_rows(request, queryset.select_related("task"), partial(close_item, action="approve"), "approved")

    @admin.action(description="Dismiss", permissions=["operate"])
    def dismiss(self, request: HttpRequest, queryset: QuerySet[InboxItem]) -> None:
        command_rows(request, queryset.select_related("task"), partial(close_item, action="dismiss"), "dismissed")

    @admin.action(description="Mark as read", permissions=["operate"])
    def read(self, request: HttpRequest, queryset: QuerySet[InboxItem]) -> None:
        command_rows(request, queryset, mark_read, "marked as read")

    @detail_action(
        "Approve",
        icon="check",
        title="Approve the work?",
        text="It is merged into the base branch.",
        variant=ActionVariant.PRIMARY,
    )
    def approve_one(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        return self._close(request, object_id, "approve", "approved")

    @detail_action("Request changes", icon="edit", title="What should be different?", form=WordsForm)
    def request_changes_one(self, request: HttpRequest, form: WordsForm, object_id: str) -> HttpResponse:
        return self._close(request, object_id, "request_changes", "sent back", form.cleaned_data["words"])

    @detail_action("Answer", icon="reply", title="What is the answer?", form=AnswerForm)
    def answer_one(self, request: HttpRequest, form: AnswerForm, object_id: str) -> HttpResponse:
        return self._close(request, object_id, "answer", "answered", form.cleaned_data["words"])

    @detail_action("Dismiss", icon="close", title="Dismiss this item?")
    def dismiss_one(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        return self._close(request, object_id, "dismiss", "dismissed")

    def _close(self, request: HttpRequest, object_id: str, action: Action, done: str, words: str = "") -> HttpResponse:
        item = found(self, request, object_id)
        command_rows(request, [item], partial(close_item, action=action, user_input=words), done)
        return back_to(request, item)
