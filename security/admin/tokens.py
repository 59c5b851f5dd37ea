"""API tokens: made and revoked, never edited."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import Field, ForeignKey, QuerySet
from django.forms import ModelChoiceField
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from security.admin.base import DialogForm, ReadOnlyAdmin, back_to, detail_action, found, has_role, labelled
from security.identity import actor_of
from security.models import ApiToken
from security.roles import SCOPES, Role
from security.services import create_token, revoke_token

COLOURS = {"valid": "success", "expired": "warning", "revoked": "danger"}


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin[ApiToken]):
    read_role = write_role = Role.ADMIN
    list_display = ("name", "prefix", "user", "state", "granted", "created_at", "expires_at", "last_used_at")
    list_filter = ("user",)
    list_select_related = ("user",)
    search_fields = ("name", "prefix", "user__username")
    ordering = ("-id",)
    actions = ("revoke",)
    actions_detail = ("revoke_one",)
    fields = ("user", "name", "prefix", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at")
    readonly_fields = ("prefix", "created_at", "last_used_at", "revoked_at")

    @labelled("status", COLOURS, ordering="revoked_at")
    def state(self, token: ApiToken) -> tuple[str, str]:
        is_expired = token.expires_at is not None and token.expires_at <= timezone.now()
        state = "revoked" if token.revoked_at else "expired" if is_expired else "valid"
        return state, state.capitalize()

    @admin.display(description="scopes")
    def granted(self, token: ApiToken) -> str:
        return ", ".join(token.scopes)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return has_role(request, self.write_role)

    def get_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        return self.fields if obj else ("user", "name", "scopes", "expires_at")

    def formfield_for_dbfield(
        self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> forms.Field | None:
        if db_field.name == "scopes":
            choices = [(scope, scope) for scope in SCOPES]
            return forms.MultipleChoiceField(choices=choices, widget=UnfoldAdminCheckboxSelectMultipleWidget)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField[Any] | None:
        users = User.objects.filter(is_active=True)
        return super().formfield_for_foreignkey(db_field, request, **{"queryset": users, **kwargs})

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: Any) -> None:
        token, text = create_token(actor=actor_of(request), **form.cleaned_data)
        obj.pk = token.pk
        obj._state.adding = False
        obj.refresh_from_db()
        messages.warning(request, f"The token, shown this once: {text}")

    @admin.action(description="Revoke", permissions=["operate"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        for token in queryset.select_related("user"):
            revoke_token(token, actor=actor_of(request))
        messages.success(request, f"{len(queryset)} revoked.")

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
