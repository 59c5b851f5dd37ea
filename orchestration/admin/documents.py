"""Documents, and what is said about them, about tasks and about diffs."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import RelatedDropdownFilter

from orchestration.admin.service import ServiceAdmin
from orchestration.exceptions import NameTaken
from orchestration.models import Comment, Document
from orchestration.services import documents
from orchestration.states import CommentStatus
from security.admin.base import ReadOnlyAdmin, labelled, prose

COLOURS = {CommentStatus.OPEN: "warning", CommentStatus.ADDRESSED: "info", CommentStatus.RESOLVED: "success"}


@admin.register(Document)
class DocumentAdmin(ServiceAdmin[Document]):
    list_display = ("title", "path", "project", "doc_type", "is_mandatory", "version")
    list_filter = (("project", RelatedDropdownFilter), "doc_type", "is_mandatory")
    list_filter_submit = True
    list_select_related = ("project",)
    search_fields = ("title", "path")
    ordering = ("project__name", "path")
    autocomplete_fields = ("project",)
    fixed_fields = ("project",)
    readonly_fields = ("content_hash", "version")
    lines_fields = {"tags": "One a line."}
    fields_at_fault = {NameTaken: "path"}
    fieldsets = (
        (None, {"fields": ("project", "title", "path", "doc_type", "is_mandatory", "tags", "body")}),
        ("State", {"fields": ("content_hash", "version")}),
    )

    def create(self, *, actor: str, **values: Any) -> Document:
        return documents.create_document(actor=actor, **values)

    def update(self, row: Document, *, actor: str, expected_version: int | None, **changes: Any) -> Document:
        return documents.update_document(row, actor=actor, expected_version=expected_version, **changes)


@admin.register(Comment)
class CommentAdmin(ReadOnlyAdmin[Comment]):
    list_display = ("id", "gist", "about", "anchor", "author", "state", "created_at")
    list_display_links = ("id", "gist")
    list_filter = ("status",)
    list_select_related = ("task", "document")
    search_fields = ("body", "author", "anchor")
    ordering = ("-id",)
    fields = ("task", "document", "run_id", "anchor", "text", "author", "status", "created_at", "version")
    readonly_fields = ("text", "created_at", "version")

    @admin.display(description="comment")
    def gist(self, comment: Comment) -> str:
        return str(comment)

    @admin.display(description="text")
    def text(self, comment: Comment) -> SafeString | str:
        return prose(comment.body)

    @admin.display(description="about")
    def about(self, comment: Comment) -> str:
        return str(comment.task or comment.document)

    @labelled("status", COLOURS, ordering="status")
    def state(self, comment: Comment) -> tuple[str, str]:
        return comment.status, comment.get_status_display()
