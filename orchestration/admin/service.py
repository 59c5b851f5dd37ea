"""Pages that write through services: what a service refuses is said on the form, and nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from django import forms
from django.contrib import messages
from django.db import IntegrityError
from django.db.models import Field, Model
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.text import capfirst

from orchestration.admin.fields import LinesField, ObjectField
from orchestration.exceptions import Conflict, DomainError, Gone
from security import audit
from security.admin.base import PageAdmin
from security.admin.shown import page_url
from security.identity import actor_of

M = TypeVar("M", bound=Model)

# Only the type checker's forms take a parameter.
if TYPE_CHECKING:
    _Form = ModelForm[Any]
else:
    _Form = ModelForm


# What the names of columns end with, in words.
_UNITS = {" usd": " (USD)", " s": " (seconds)"}


class ServiceForm(_Form):
    """A form that knows which version of the row it shows, and what the service said to it the first time."""

    expected_version = forms.IntegerField(required=False, widget=forms.HiddenInput)
    refusal: ClassVar[DomainError | None] = None
    fields_at_fault: ClassVar[Mapping[type[DomainError], str]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is not None:
            self.initial["expected_version"] = self.instance.version

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if self.refusal is not None:
            name = self.fields_at_fault.get(type(self.refusal)) or self.refusal.data.get("field")
            self.add_error(name if name in self.fields else None, str(self.refusal))
        return cleaned

    def changes(self) -> dict[str, Any]:
        """Return the fields that were edited."""
        return {name: self.cleaned_data[name] for name in self.changed_data if name != "expected_version"}

    def values(self) -> dict[str, Any]:
        """Return every field of a new row."""
        return {name: value for name, value in self.cleaned_data.items() if name != "expected_version"}


class DeletableAdmin(PageAdmin[M]):
    """A page whose rows a service deletes, or refuses to: what it says then is said on the page of the row."""

    def delete(self, row: M, *, actor: str) -> None:
        raise NotImplementedError

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._allows(request, self.write_role)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """Name the rows themselves. What goes with them, and what stands in the way, the service knows."""
        return [str(row) for row in objs], {str(self.opts.verbose_name_plural): len(objs)}, set(), []

    def delete_model(self, request: HttpRequest, obj: M) -> None:
        self.delete(obj, actor=actor_of(request))

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method != "POST":
            return super().delete_view(request, object_id, extra_context)
        try:
            with audit.trail().unit_of_work():
                return super().delete_view(request, object_id, extra_context)
        except DomainError as refusal:
            messages.error(request, str(refusal))
            return HttpResponseRedirect(page_url(self.model, object_id))


class ServiceAdmin(DeletableAdmin[M]):
    """A page whose rows are made, changed and deleted by services only."""

    form = ServiceForm
    fields_at_fault: Mapping[type[DomainError], str] = {}
    """Which field a refusal is about, where it does not say so itself."""
    lines_fields: Mapping[str, str] = {}
    """Lists of texts, edited one a line, and what they are for."""
    object_fields: Mapping[str, str] = {}
    """JSON objects, and what may stand in them."""
    fixed_fields: tuple[str, ...] = ()
    """What is chosen when a row is made and never again."""
    help_texts: Mapping[str, str] = {}
    """What is to be known about fields, for who fills them in."""

    def create(self, *, actor: str, **values: Any) -> M:
        raise NotImplementedError

    def update(self, row: M, *, actor: str, expected_version: int | None, **changes: Any) -> M:
        raise NotImplementedError

    def get_readonly_fields(self, request: HttpRequest, obj: M | None = None) -> list[str]:
        fixed = self.fixed_fields if obj is not None else ()
        return [*super().get_readonly_fields(request, obj), *fixed]

    def get_fieldsets(self, request: HttpRequest, obj: M | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None:
            # A row that is only about to be has no state yet.
            return [section for section in fieldsets if section[0] != "State"]
        if not self.has_change_permission(request, obj):
            return fieldsets
        (name, options), *rest = fieldsets
        return [(name, {**options, "fields": [*options["fields"], "expected_version"]}), *rest]

    def formfield_for_dbfield(
        self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> forms.Field | None:
        if (help_text := self.lines_fields.get(db_field.name)) is not None:
            return LinesField(label=capfirst(db_field.verbose_name), help_text=help_text, required=False)
        if (help_text := self.object_fields.get(db_field.name)) is not None:
            return ObjectField(label=capfirst(db_field.verbose_name), help_text=help_text, required=False)
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None:
            field.label = _label(db_field)
            field.help_text = self.help_texts.get(db_field.name, field.help_text)
        return field

    def get_form(
        self, request: HttpRequest, obj: M | None = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm[M]]:
        form = super().get_form(request, obj, change, **kwargs)
        told = {"refusal": getattr(request, "refusal", None), "fields_at_fault": self.fields_at_fault}
        return cast("type[ModelForm[M]]", type(form.__name__, (form,), told))

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show what was typed again when a service refuses it."""
        if request.method != "POST":
            return super().changeform_view(request, object_id, form_url, extra_context)
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except DomainError as refusal:
            said = refusal
        except IntegrityError:
            # Two people at the same moment: the check of the service passed for both, the constraint for one.
            said = Conflict("Another row has this name already, or a row it refers to is gone.")
        # All is rolled back. The same page again, with a form that fails with the refusal.
        request.refusal = said  # type: ignore[attr-defined]
        return super().changeform_view(request, object_id, form_url, extra_context)

    def save_model(self, request: HttpRequest, obj: M, form: Any, change: Any) -> None:
        actor = actor_of(request)
        if change:
            # The form has already written on `obj`; the service compares with what is stored.
            stored = self.model._default_manager.filter(pk=obj.pk).first()
            if stored is None:
                raise Gone
            self.update(
                stored, actor=actor, expected_version=form.cleaned_data.get("expected_version"), **form.changes()
            )
        else:
            obj.pk = self.create(actor=actor, **form.values()).pk
            obj._state.adding = False
        obj.refresh_from_db()


def _label(column: Field[Any, Any]) -> str:
    """Return the name of a column as people read it, with its unit."""
    name = str(capfirst(str(column.verbose_name)))
    found = next((end for end in _UNITS if name.endswith(end)), "")
    return name.removesuffix(found) + _UNITS[found] if found else name
