"""What every admin page stands on: unfold's pages with types, coloured labels, and pages that only show."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar, cast

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.enums import ActionVariant

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

        # No title over each row; newer versions of unfold have renamed the switch.
        if hasattr(TabularInline, "hide_title"):
            hide_title = True
        else:
            show_title = False

        def __class_getitem__(cls, _models: object) -> type[RowsInline]:
            return cls


class PageAdmin(_Page[M]):
    """A page of the admin for one model. As in the API, roles alone decide who may read and who may write."""

    read_role = Role.VIEWER
    write_role = Role.OPERATOR

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return has_role(request, self.read_role)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return has_role(request, self.write_role)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return has_role(request, self.write_role)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Rows are paused, archived, revoked, deactivated: what the event log speaks of stays."""
        return False

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the user may give commands about the rows, also where nobody may edit them."""
        return has_role(request, self.write_role)


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
    url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    if "HX-Request" in request.headers:
        return HttpResponse(headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)


def pretty_json(value: Any) -> SafeString:
    """Return data as indented JSON for a page."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return format_html('<pre class="text-xs" style="white-space: pre-wrap; overflow-wrap: anywhere">{}</pre>', text)


def prose(text: str) -> SafeString | str:
    """Return a text of several lines for a page."""
    if not text:
        return "-"
    return format_html('<div style="white-space: pre-wrap; overflow-wrap: anywhere">{}</div>', text)


def usd(amount: Decimal | None, digits: int = 2) -> str:
    """Return an amount of money for a page."""
    return "-" if amount is None else f"${amount:,.{digits}f}"
