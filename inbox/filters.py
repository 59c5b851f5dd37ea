from __future__ import annotations

from django_filters import rest_framework as filters  # type: ignore[import-untyped]

from api.filters import AnyOfFilter, FlagFilter, IdFilter
from inbox.models import InboxItem
from inbox.states import ItemType


class ItemFilter(filters.FilterSet):  # type: ignore[misc]
    item_type = AnyOfFilter(choices=ItemType.choices)
    project = IdFilter()
    task = IdFilter()
    run = IdFilter(field_name="run_id")
    is_read = FlagFilter()

    class Meta:
        model = InboxItem
        fields = ["status"]
