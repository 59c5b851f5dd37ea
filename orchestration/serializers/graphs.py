from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.bodies import RowField, StrictSerializer
from api.examples import shown
from api.filters import MAX_ID
from orchestration.models import Project, Task
from orchestration.serializers import examples
from orchestration.serializers.tasks import TaskFieldsSerializer
from orchestration.services.graphs import MAX_TASKS, TaskDraft
from orchestration.states import TaskStatus

_MAX_REF = 100
_RELATED = ("ref", "title", "depends_on", "parent", "assignee")
_NAME = [
    {"type": "string", "minLength": 1, "maxLength": _MAX_REF},
    {"type": "integer", "minimum": 1, "maximum": MAX_ID},
]


@extend_schema_field({"oneOf": _NAME})
class NameField(serializers.Field[Any, Any, Any, Any]):
    """The `ref` of a task of the same request, or the id of a task that exists."""

    default_error_messages = {
        "invalid": "Give the ref of a task of this request (a text), or the id of one that exists."
    }

    def to_internal_value(self, data: Any) -> str | int:
        is_id = isinstance(data, int) and not isinstance(data, bool) and 0 < data <= MAX_ID
        if is_id or (isinstance(data, str) and 0 < len(data) <= _MAX_REF):
            return data  # type: ignore[no-any-return]
        raise serializers.ValidationError(self.error_messages["invalid"], code="invalid")

    def to_representation(self, value: Any) -> Any:
        return value


class DraftSerializer(TaskFieldsSerializer):
    """A task to be."""

    ref = serializers.CharField(
        max_length=_MAX_REF, required=False, help_text="By which other tasks of the request name it."
    )
    depends_on = serializers.ListField(
        child=NameField(), required=False, max_length=MAX_TASKS, help_text="Tasks that must be done before this one."
    )
    # DRF takes the fields of a class out of it: the attribute that every field has is not hidden.
    parent = NameField(required=False, allow_null=True)  # type: ignore[assignment]
    assignee = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=MAX_ID)

    class Meta(TaskFieldsSerializer.Meta):
        fields = ["ref", "depends_on", *(name for name in TaskFieldsSerializer.Meta.fields if name != "project")]


@shown(request=examples.BULK)
class BulkSerializer(StrictSerializer):
    """Many tasks of one project, with what they wait for: all of them are made, or none."""

    project = RowField(queryset=Project.objects.all())
    tasks = DraftSerializer(many=True, allow_empty=False, max_length=MAX_TASKS)  # type: ignore[call-arg]  # many's own


class MadeSerializer(serializers.Serializer[Any]):
    """A task that was made."""

    ref = serializers.CharField(help_text="As in the request; empty where none was given.")
    id = serializers.IntegerField()
    key = serializers.CharField()
    version = serializers.IntegerField()


@shown(examples.BULK_RESULT)
class BulkResultSerializer(serializers.Serializer[Any]):
    """The tasks that were made, in the order of the request."""

    tasks = MadeSerializer(many=True)


class EdgeSerializer(serializers.Serializer[Any]):
    """`task` starts only when `depends_on` is done."""

    task = serializers.IntegerField()
    depends_on = serializers.IntegerField()


class NodeSerializer(serializers.Serializer[Any]):
    """A task in its graph."""

    id = serializers.IntegerField()
    key = serializers.CharField()
    title = serializers.CharField()
    status = serializers.ChoiceField(choices=TaskStatus.choices)
    priority = serializers.IntegerField()
    is_held = serializers.BooleanField()
    unmet_dependencies = serializers.IntegerField()
    parent = serializers.IntegerField(allow_null=True)  # type: ignore[assignment]  # as above


class RelativeSerializer(NodeSerializer):
    """A task that another one waits for, or that waits for it."""

    distance = serializers.IntegerField(help_text="Edges on the shortest way.")


class GraphSerializer(serializers.Serializer[Any]):
    """What waits for what."""

    edges = EdgeSerializer(many=True)
    critical_path = serializers.ListField(
        child=serializers.IntegerField(), help_text="The longest chain of tasks that are not done, the first first."
    )
    is_truncated = serializers.BooleanField(help_text="There are more tasks than are shown.")


@shown(examples.PROJECT_GRAPH)
class ProjectGraphSerializer(GraphSerializer):
    """The graph of a project."""

    project = serializers.IntegerField()
    nodes = NodeSerializer(many=True)


@shown(examples.TASK_GRAPH)
class TaskGraphSerializer(GraphSerializer):
    """What a task waits for, and what waits for it; its critical path leads through it."""

    task = serializers.IntegerField()
    up = RelativeSerializer(many=True)
    down = RelativeSerializer(many=True)


def draft_of(given: dict[str, Any]) -> TaskDraft:
    """Return a task of a request as the service takes it."""
    related = {name: given[name] for name in _RELATED if name in given}
    return TaskDraft(**related, fields={name: value for name, value in given.items() if name not in _RELATED})


def made(draft: TaskDraft, task: Task) -> dict[str, Any]:
    """Return what is told of a task that was made."""
    return {"ref": draft.ref, "id": task.pk, "key": task.key, "version": task.version}
