"""What every admin page stands on: roles, limits to projects, and no way to write but through the services."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from django import forms
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from security import audit
from security.access import projects_of, visible
from security.admin.shown import page_url
from security.identity import role_in
from security.roles import Role

M = TypeVar("M", bound=Model)
P = TypeVar("P", bound=Model)
F = TypeVar("F", bound=Callable[..., Any])

# Unfold ships no types: for the type checker its classes are the ones of Django that they extend.
if TYPE_CHECKING:

    class _Page(admin.ModelAdmin[M]):
        def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]: ...

    class RowsInline(admin.TabularInline[M, P]): ...

    class DialogForm(forms.Form):
        object_id: str

else:
    from unfold.admin import ModelAdmin, TabularInline
    from unfold.forms import BaseDialogForm as DialogForm

    class _Page(ModelAdmin):
        def __class_getitem__(cls, _model: object) -> type[_Page]:
            return cls

        def get_action_choices(
            self, request: HttpRequest, default_choices: object = None, action_location: object = None
        ) -> list[tuple[str, str]]:
            # Unfold's own does not take Django 6.1's action_location, and Django warns about that.
            where = {"action_location": action_location} if action_location else {}
            return super(ModelAdmin, self).get_action_choices(request, [("", "Select action")], **where)

    class RowsInline(TabularInline):
        """Rows of another model on the page of the one they belong to."""

        def get_field_queryset(self, db, db_field, request):
            return seen(db_field.remote_field.model, request)

        # No title over each row; newer versions of unfold have renamed the switch.
        if hasattr(TabularInline, "hide_title"):
            hide_title = True
        else:
            show_title = False

        def __class_getitem__(cls, _models: object) -> type[RowsInline]:
            return cls


class NotThroughServices(RuntimeError):
    """An admin page was about to write rows itself. Pages call a service, which writes the change and its event."""


class PageAdmin(_Page[M]):
    """A page of the admin for one model. As in the API, roles and limits to projects decide who may read and write.

    What Django would write by itself is refused: a page that writes says with which service.
    """

    read_role = Role.VIEWER
    write_role = Role.OPERATOR
    project_path: str | tuple[str, ...] = ""
    """Where a row's project is found. Pages without are shown to those only who see every project."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[M]:
        return visible(super().get_queryset(request), self.project_path or (), seen_projects(request))

    def get_field_queryset(self, db: str | None, db_field: Any, request: HttpRequest) -> QuerySet[Any]:
        return seen(db_field.remote_field.model, request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._allows(request, self.read_role)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._allows(request, self.write_role)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._allows(request, self.write_role)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Rows are paused, archived, revoked, deactivated: what the event log speaks of stays."""
        return False

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the user may give commands about the rows, also where nobody may edit them."""
        return self._allows(request, self.write_role)

    def _allows(self, request: HttpRequest, needed: Role) -> bool:
        return has_role(request, needed) and (bool(self.project_path) or seen_projects(request) is None)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Save all of a page or nothing of it. Its events are written last, as the lock order asks."""
        if request.method != "POST":
            return super().changeform_view(request, object_id, form_url, extra_context)
        with audit.trail().unit_of_work():
            return super().changeform_view(request, object_id, form_url, extra_context)

    def save_model(self, request: HttpRequest, obj: M, form: Any, change: Any) -> None:
        raise NotThroughServices(NotThroughServices.__doc__)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: Any) -> None:
        raise NotThroughServices(NotThroughServices.__doc__)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: Any) -> None:
        """Save the rows below; what a form says of many-to-many fields is for the page's service."""
        for formset in formsets:
            self.save_formset(request, form, formset, change=change)

    def delete_model(self, request: HttpRequest, obj: M) -> None:
        raise NotThroughServices(NotThroughServices.__doc__)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[M]) -> None:
        raise NotThroughServices(NotThroughServices.__doc__)


class ReadOnlyAdmin(PageAdmin[M]):
    """Shows rows that only the services write."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def has_role(request: HttpRequest, needed: Role) -> bool:
    """Tell whether the user has a role. A page asks many times, the database once."""
    if not hasattr(request, "_role"):
        request._role = role_in(request)  # type: ignore[attr-defined]
    role: Role | None = request._role  # type: ignore[attr-defined]
    return role is not None and role >= needed


def seen_projects(request: HttpRequest) -> frozenset[int] | None:
    """Return the ids of the projects the user may see; None: all of them. A page asks many times, the database once."""
    if not hasattr(request, "_projects"):
        request._projects = projects_of(request)  # type: ignore[attr-defined]
    projects: frozenset[int] | None = request._projects  # type: ignore[attr-defined]
    return projects


def seen(model: type[Model], request: HttpRequest) -> QuerySet[Any]:
    """Return those rows of a model that the user may see; every model of ours has a page, which knows."""
    return admin.site._registry[model].get_queryset(request)


class RelatedFilter(AutocompleteSelectFilter):  # type: ignore[misc]
    """Filters by a related row, found by typing. Says nothing of rows that the user may not see."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice in super().choices(changelist):
            choice["form"].fields[self.lookup_kwarg].queryset = seen(self.field.remote_field.model, self.request)
            yield choice


def labelled(description: str, colours: Mapping[Any, str], *, ordering: str) -> Callable[[F], F]:
    """Show what a list's method returns, (value, text), as a label in the colour of the value."""
    return cast("Callable[[F], F]", display(description=description, ordering=ordering, label=dict(colours)))


def detail_action(
    description: str,
    *,
    icon: str,
    title: str,
    text: str = "",
    form: type[DialogForm] = DialogForm,
    variant: ActionVariant = ActionVariant.DEFAULT,
) -> Callable[[F], F]:
    """Offer a command on the page of a row. It opens a dialog, so that nothing happens by following a link.

    The method is called with request, form and object_id once the dialog's form is valid.
    """
    decorated = action(
        description=description,
        icon=icon,
        permissions=["operate"],
        variant=variant,
        dialog={"title": title, "description": text, "form_class": form, "form_submit_text": description},
    )
    return cast("Callable[[F], F]", decorated)


def found(page: PageAdmin[M], request: HttpRequest, object_id: str) -> M:
    """Return the row a detail action is about. Raises Http404."""
    row = page.get_object(request, object_id)
    if row is None:
        raise Http404
    return row


def back_to(request: HttpRequest, row: Model) -> HttpResponse:
    """Send the browser to the page of a row, from inside a dialog or not."""
    url = page_url(type(row), row.pk)
    if "HX-Request" in request.headers:
        return HttpResponse(headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)
