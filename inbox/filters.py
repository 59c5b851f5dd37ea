from __future__ import annotations

from api.filters import AnyOfFilter, FilterSet, FlagFilter, IdFilter
from inbox.models import InboxItem
from inbox.states import ItemType


class ItemFilter(FilterSet):
    item_type = AnyOfFilter(choices=ItemType.choices)
    project = IdFilter()
    task = IdFilter()
    run = IdFilter(field_name="run_id")
    is_read = FlagFilter()

    class Meta:
        model = InboxItem
        fields = ["status"]
