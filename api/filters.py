"""How lists are filtered: flags, ids and choices that say what they do not understand, and times."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django_filters import rest_framework as filters  # type: ignore[import-untyped]
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field

MAX_ID = 2**63 - 1


class FlagField(forms.Field):
    """True or false; anything else is a mistake, and not the same as nothing."""

    def to_python(self, value: Any) -> bool | None:
        if value in self.empty_values:
            return None
        if (text := str(value).lower()) not in ("true", "false"):
            raise ValidationError("Give true or false.", code="invalid")
        return text == "true"


@extend_schema_field(OpenApiTypes.BOOL)
class FlagFilter(filters.Filter):  # type: ignore[misc]
    """Filters by true or false."""

    field_class = FlagField


class ArchivedFilter(FlagFilter):
    """Leaves out what is archived, unless that is asked for."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            **{"field_name": "is_archived", "label": "True: only what is archived, else left out."} | kwargs
        )

    def filter(self, rows: QuerySet[Any], value: bool | None) -> QuerySet[Any]:
        return rows.filter(**{self.field_name: bool(value)})


class FilterSet(filters.FilterSet):  # type: ignore[misc]
    """Has only the filters that a request asks for, and copies no more of them than it must: that takes longer than the query."""

    def __init__(self, data: Mapping[str, Any] | None = None, *args: Any, **kwargs: Any) -> None:
        found: dict[str, filters.Filter] = self.base_filters
        self.base_filters: dict[str, filters.Filter] = {}
        super().__init__(data, *args, **kwargs)
        for name, shared in found.items():
            if data is None or name in data or isinstance(shared, ArchivedFilter):
                self.filters[name] = self._own(shared)

    def get_form_class(self) -> type[forms.Form]:
        return _form(cast(Any, type(self)), tuple(self.filters))

    def _own(self, shared: filters.Filter) -> filters.Filter:
        own = copy.copy(shared)
        # Set again, a method is bound to the copy.
        own.model, own.parent, own.method = self._meta.model, self, shared.method
        return own


class _Shared(dict[str, forms.Field]):
    """Form fields that are not copied for each form: nothing changes them."""

    def __deepcopy__(self, _memo: Any) -> _Shared:
        return self


@functools.lru_cache(maxsize=256)
def _form(filterset: Any, names: tuple[str, ...]) -> type[forms.Form]:
    form: Any = type("Form", (forms.Form,), {name: filterset.base_filters[name].field for name in names})
    form.base_fields = _Shared(form.base_fields)
    for field in form.base_fields.values():
        _name_choices(field)
    return form  # type: ignore[no-any-return]


def _name_choices(field: forms.Field) -> None:
    """Let a field with choices say which there are: who has misspelt one need not look them up."""
    if isinstance(field, forms.ChoiceField) and not isinstance(field, forms.ModelChoiceField):
        choices = cast("list[tuple[Any, Any]]", field.choices)
        names = ", ".join(str(value) for value, _ in choices if value not in field.empty_values)
        field.error_messages["invalid_choice"] = f"There is no %(value)s here; there are: {names}."


class IdFilter(filters.NumberFilter):  # type: ignore[misc]
    """An id. One that is nobody's finds nothing."""

    field_class = forms.IntegerField

    def __init__(self, *, least: int = 1, **kwargs: Any) -> None:
        super().__init__(**{"min_value": least, "max_value": MAX_ID} | kwargs)

    def get_max_validator(self) -> None:
        """Leave the bound to the field."""


class AnyOfFilter(filters.MultipleChoiceFilter):  # type: ignore[misc]
    """May be given several times: rows that match one of the values."""

    def __init__(self, **kwargs: object) -> None:
        # A column of the row itself never makes it appear twice.
        super().__init__(**{"distinct": False} | kwargs)
