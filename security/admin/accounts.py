"""Users and groups, in the look of the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import ManyToManyField, QuerySet
from django.forms import ModelMultipleChoiceField
from django.http import HttpRequest, HttpResponse
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from security.accounts import create_user, password_watched, update_user
from security.admin.base import PageAdmin, ReadOnlyAdmin
from security.admin.shown import counted_limit
from security.identity import actor_of
from security.roles import Role

if TYPE_CHECKING:
    _Users = DjangoUserAdmin[User]
else:
    _Users = DjangoUserAdmin

ROLES = (
    "A viewer reads. An operator also works with tasks and the inbox. "
    "An admin also sets up projects, agents and access."
)

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(_Users, PageAdmin[User]):
    """Accounts. A name in the event log keeps its meaning: it is not changed, and accounts are deactivated, not deleted."""

    read_role = write_role = Role.ADMIN
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "roles", "limit", "is_active", "is_staff", "is_superuser", "last_login")
    list_filter = ("groups", "is_active", "is_staff", "is_superuser")
    filter_horizontal = ()
    fieldsets: ClassVar[Any] = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Role", {"fields": ("groups", "is_active", "is_staff", "is_superuser")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets: Any = (
        (None, {"fields": ("username", "usable_password", "password1", "password2")}),
        ("Role", {"fields": ("groups", "is_staff")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).select_related("access_limit").prefetch_related("groups")

    @admin.display(description="sees")
    def limit(self, user: User) -> str:
        limit = getattr(user, "access_limit", None)
        return counted_limit(limit.project_ids if limit else None)

    @admin.display(description="roles")
    def roles(self, user: User) -> str:
        return ", ".join(group.name for group in user.groups.all())

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may change accounts may not take over one that may do everything."""
        if isinstance(obj, User) and obj.is_superuser and not request.user.is_superuser:
            return False
        return super().has_change_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        fixed = ("username",) if obj is not None else ()
        rights = () if request.user.is_superuser else ("is_superuser",)
        return ("last_login", "date_joined", *fixed, *rights)

    def formfield_for_manytomany(
        self, db_field: ManyToManyField[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> ModelMultipleChoiceField[Any] | None:
        field = super().formfield_for_manytomany(
            db_field, request, **{"widget": UnfoldAdminCheckboxSelectMultipleWidget, **kwargs}
        )
        if field is not None:
            field.help_text = ROLES
        return field

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: Any) -> None:
        actor = actor_of(request)
        if change:
            # The form has already written on `obj`; the service compares with what is stored.
            self.update(User.objects.get(pk=obj.pk), actor=actor, **_edited(form))
        else:
            create_user(obj, groups=form.cleaned_data["groups"], actor=actor)

    def update(self, user: User, *, actor: str, **changes: Any) -> None:
        """Carry out what was edited."""
        update_user(user, actor=actor, **changes)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        user = self.get_object(request, id)
        if request.method != "POST" or user is None:
            return super().user_change_password(request, id, form_url)
        with password_watched(user.pk, actor=actor_of(request)):
            return super().user_change_password(request, id, form_url)


def _edited(form: Any) -> dict[str, Any]:
    return {name: form.cleaned_data[name] for name in form.changed_data}


@admin.register(Group)
class GroupAdmin(ReadOnlyAdmin[Group]):
    """The roles and who has them; what a role may do is not a setting."""

    read_role = write_role = Role.ADMIN
    list_display = ("name", "members")
    search_fields = ("name",)
    ordering = ("name",)
    fields = ("name", "members")
    readonly_fields = ("members",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return super().get_queryset(request).prefetch_related("user_set")

    @admin.display(description="members")
    def members(self, group: Group) -> str:
        return ", ".join(sorted(user.get_username() for user in group.user_set.all())) or "-"
