"""The pages of accounts and tokens, with the projects they are limited to, which security itself does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.forms import UserChangeForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from orchestration.models import Project
from security import admin as security
from security.admin.shown import link, page_url
from security.models import ApiToken
from security.services import limit_access

# Only the type checker's forms take a parameter.
if TYPE_CHECKING:
    from django.contrib.auth.forms import UserChangeForm as DjangoUserChangeForm

    _Accounts = DjangoUserChangeForm[User]
    _Tokens = forms.ModelForm[ApiToken]
    _Choice = forms.ModelMultipleChoiceField[Project]
else:
    _Accounts, _Tokens, _Choice = UserChangeForm, forms.ModelForm, forms.ModelMultipleChoiceField

admin.site.unregister(User)
admin.site.unregister(ApiToken)


class ProjectsField(_Choice):
    """Which projects somebody may see; none chosen means all."""

    def __init__(self) -> None:
        super().__init__(
            Project.objects.order_by("name"),
            required=False,
            label="Only these projects",
            help_text="None chosen: every project.",
            widget=UnfoldAdminCheckboxSelectMultipleWidget,
        )


class AccountForm(_Accounts):
    projects = ProjectsField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        limit = getattr(self.instance, "access_limit", None)
        self.initial["projects"] = limit.project_ids if limit else []


class TokenForm(_Tokens):
    projects = ProjectsField()


@admin.register(User)
class UserAdmin(security.UserAdmin):
    form = AccountForm
    fieldsets = tuple(
        (name, {"fields": (*options["fields"], "projects")} if name == "Role" else options)
        for name, options in security.UserAdmin.fieldsets
    )

    def update(self, user: User, *, actor: str, **changes: Any) -> None:
        if "projects" in changes:
            limit_access(user, project_ids=_limit(changes.pop("projects")), actor=actor)
        super().update(user, actor=actor, **changes)


@admin.register(ApiToken)
class ApiTokenAdmin(security.ApiTokenAdmin):
    form = TokenForm
    add_fields = (*security.ApiTokenAdmin.add_fields, "projects")
    fields = tuple("only" if name == "limit" else name for name in security.ApiTokenAdmin.fields)
    readonly_fields = (*security.ApiTokenAdmin.readonly_fields, "only")

    @admin.display(description="only these projects")
    def only(self, token: ApiToken) -> SafeString | str:
        if token.project_ids is None:
            return "-"
        names = Project.objects.filter(pk__in=token.project_ids).order_by("name").values_list("pk", "name")
        links = ((link(page_url(Project, pk), name),) for pk, name in names)
        return format_html_join(", ", "{}", links) or "no project that exists"

    def values(self, cleaned: dict[str, Any]) -> dict[str, Any]:
        rest = {name: value for name, value in cleaned.items() if name != "projects"}
        return {**rest, "project_ids": _limit(cleaned["projects"])}


def _limit(projects: QuerySet[Project]) -> list[int] | None:
    """Return the ids of the projects chosen, or None, where none is, for every project."""
    return [project.pk for project in projects] or None
