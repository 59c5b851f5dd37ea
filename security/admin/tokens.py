"""API tokens: made and revoked, never edited."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import Field, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.contrib.filters.admin import DropdownFilter
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from security.admin.base import (
    DialogForm,
    ReadOnlyAdmin,
    RelatedFilter,
    back_to,
    detail_action,
    found,
    has_role,
    labelled,
)
from security.admin.shown import counted_limit
from security.identity import actor_of
from security.models import ApiToken
from security.roles import SCOPES, Role
from security.services import create_token, revoke_token

COLOURS = {"valid": "success", "expired": "warning", "revoked": "danger"}

_SCOPES_HELP = (
    "What it may do at most, and never more than its user: read as a viewer, write as an operator, admin as an admin; "
    "events writes into the event log and reads nothing."
)


class StateFilter(DropdownFilter):  # type: ignore[misc]
    title = "status"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, state.capitalize()) for state in COLOURS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> QuerySet[ApiToken]:
        if self.value() == "valid":
            return queryset.filter(pk__in=ApiToken.objects.valid())
        if self.value() == "expired":
            return queryset.filter(revoked_at__isnull=True, expires_at__lte=timezone.now())
        return queryset.filter(revoked_at__isnull=False) if self.value() == "revoked" else queryset


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin[ApiToken]):
    read_role = write_role = Role.ADMIN
    list_display: Any = (
        "name",
        "prefix",
        "user",
        "state",
        "granted",
        "limit",
        "created_at",
        "expires_at",
        "last_used_at",
    )
    list_filter = (StateFilter, ("user", RelatedFilter))
    list_filter_submit = True
    list_select_related = ("user",)
    search_fields = ("name", "prefix", "user__username")
    ordering = ("-id",)
    autocomplete_fields = ("user",)
    actions = ("revoke",)
    actions_detail = ("revoke_one",)
    fields: ClassVar[tuple[str, ...]] = (
        "user",
        "name",
        "prefix",
        "scopes",
        "limit",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
    )
    add_fields: tuple[str, ...] = ("user", "name", "scopes", "expires_at")
    readonly_fields: ClassVar[tuple[str, ...]] = ("prefix", "limit", "created_at", "last_used_at", "revoked_at")

    @labelled("status", COLOURS, ordering="revoked_at")
    def state(self, token: ApiToken) -> tuple[str, str]:
        is_expired = token.expires_at is not None and token.expires_at <= timezone.now()
        state = "revoked" if token.revoked_at else "expired" if is_expired else "valid"
        return state, state.capitalize()

    @admin.display(description="scopes")
    def granted(self, token: ApiToken) -> str:
        return ", ".join(token.scopes)

    @admin.display(description="sees")
    def limit(self, token: ApiToken) -> str:
        return counted_limit(token.project_ids)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return has_role(request, self.write_role) and self.has_view_permission(request)

    def get_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        return self.fields if obj else self.add_fields

    def get_field_queryset(self, db: str | None, db_field: Any, request: HttpRequest) -> QuerySet[Any]:
        """A token is for somebody who may log in."""
        return super().get_field_queryset(db, db_field, request).filter(is_active=True)

    def formfield_for_dbfield(
        self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> forms.Field | None:
        if db_field.name == "scopes":
            choices = [(scope, scope) for scope in SCOPES]
            return forms.MultipleChoiceField(
                choices=choices, widget=UnfoldAdminCheckboxSelectMultipleWidget, help_text=_SCOPES_HELP
            )
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: Any) -> None:
        token, text = create_token(actor=actor_of(request), **self.values(form.cleaned_data))
        obj.pk = token.pk
        obj._state.adding = False
        obj.refresh_from_db()
        messages.warning(request, f"The token, shown this once: {text}")

    def values(self, cleaned: dict[str, Any]) -> dict[str, Any]:
        """Return what the service is given."""
        return cleaned

    @admin.action(description="Revoke", permissions=["operate"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        tokens = list(queryset.select_related("user"))
        valid = [token for token in tokens if token.revoked_at is None]
        for token in valid:
            revoke_token(token, actor=actor_of(request))
        if valid:
            messages.success(request, f"{len(valid)} revoked.")
        for token in tokens:
            if token not in valid:
                messages.warning(request, f"{token}: It is revoked already.")

    @detail_action(
        "Revoke",
        icon="block",
        title="Revoke this token?",
        text="Programs that use it are refused from now on.",
        variant=ActionVariant.DANGER,
    )
    def revoke_one(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        token = found(self, request, object_id)
        self.revoke(request, ApiToken.objects.filter(pk=token.pk))
        return back_to(request, token)

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        """Offer to revoke what is not revoked."""
        token = self.get_object(request, object_id)
        is_over = token is None or token.revoked_at is not None
        return [] if is_over else super().get_actions_detail(request, object_id)
