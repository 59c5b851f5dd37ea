from __future__ import annotations

from django_filters import rest_framework as filters  # type: ignore[import-untyped]

from inbox.models import InboxItem
from inbox.states import ItemType
from orchestration.filters import AnyOfFilter, FlagFilter, WholeFilter
from orchestration.models import Project, Task


class ItemFilter(filters.FilterSet):  # type: ignore[misc]
    item_type = AnyOfFilter(choices=ItemType.choices)
    project = filters.ModelChoiceFilter(queryset=Project.objects.all())
    task = filters.ModelChoiceFilter(queryset=Task.objects.all())
    run = WholeFilter(field_name="run_id")
    is_read = FlagFilter()

    class Meta:
        model = InboxItem
        fields = ["status", "item_type", "project", "task", "is_read"]
