from __future__ import annotations

from rest_framework import serializers

from api.bodies import StrictSerializer
from api.examples import shown
from orchestration.models import TaskDependency
from orchestration.serializers import examples


@shown(examples.DEPENDENCY, request=examples.NEW_DEPENDENCY)
class DependencySerializer(StrictSerializer, serializers.ModelSerializer[TaskDependency]):
    """`task` starts only when `depends_on` is done."""

    class Meta:
        model = TaskDependency
        fields = ["id", "task", "depends_on", "kind"]
        read_only_fields = ["kind"]
        # An edge that exists already is no error.
        validators: list[object] = []
