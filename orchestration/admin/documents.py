"""Documents, and what is said about them, about tasks and about diffs."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from orchestration.admin.bulk import command_rows
from orchestration.admin.service import DeletableAdmin, ServiceAdmin
from orchestration.exceptions import NameTaken
from orchestration.models import Comment, Document
from orchestration.services import comments, documents
from orchestration.states import CommentStatus
from security.admin.base import ReadOnlyAdmin, RelatedFilter, has_role, labelled
from security.admin.shown import prose
from security.roles import Role

COLOURS = {CommentStatus.OPEN: "warning", CommentStatus.ADDRESSED: "info", CommentStatus.RESOLVED: "success"}


@admin.register(Document)
class DocumentAdmin(ServiceAdmin[Document]):
    list_display = ("title", "path", "project", "doc_type", "is_mandatory", "version")
    project_path = "project"
    list_filter = (("project", RelatedFilter), ("doc_type", ChoicesDropdownFilter), "is_mandatory")
    list_filter_submit = True
    list_select_related = ("project",)
    search_fields = ("title", "path", "project__name")
    ordering = ("project__name", "path")
    autocomplete_fields = ("project",)
    fixed_fields = ("project",)
    readonly_fields = ("content_hash", "version")
    help_texts = {
        "path": "Below the repository, such as docs/rules.md: how people and agents name it.",
        "is_mandatory": "Given to every agent of the project with every task.",
    }
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

    def delete(self, row: Document, *, actor: str) -> None:
        documents.delete_document(row, actor=actor)


@admin.register(Comment)
class CommentAdmin(ReadOnlyAdmin[Comment], DeletableAdmin[Comment]):
    """What was said stays as its author put it; it can be settled, and deleted by its author or an admin."""

    project_path = ("task__project", "document__project")
    list_display = ("id", "gist", "about", "anchor", "author", "state", "created_at")
    list_display_links = ("id", "gist")
    list_filter = (("status", ChoicesDropdownFilter), ("task", RelatedFilter), ("document", RelatedFilter))
    list_filter_submit = True
    list_select_related = ("task", "document")
    search_fields = ("body", "author", "anchor", "task__title", "document__title")
    ordering = ("-id",)
    fields = ("task", "document", "run_id", "anchor", "text", "author", "status", "created_at", "version")
    readonly_fields = ("text", "created_at", "version")

    actions = ("resolve", "reopen")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_own = obj is None or obj.author == request.user.get_username()
        return super().has_delete_permission(request, obj) and (is_own or has_role(request, Role.ADMIN))

    def delete(self, row: Comment, *, actor: str) -> None:
        comments.delete_comment(row, actor=actor)

    @admin.action(description="Resolve", permissions=["operate"])
    def resolve(self, request: HttpRequest, queryset: QuerySet[Comment]) -> None:
        command_rows(request, queryset, partial(comments.update_comment, status=CommentStatus.RESOLVED), "resolved")

    @admin.action(description="Open again", permissions=["operate"])
    def reopen(self, request: HttpRequest, queryset: QuerySet[Comment]) -> None:
        command_rows(request, queryset, partial(comments.update_comment, status=CommentStatus.OPEN), "opened again")

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
