"""What outside tools write into the event log, entry by entry."""

from __future__ import annotations

import json
from typing import Any, cast

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from api.bodies import MAX_WHOLE, RowField, StrictSerializer
from api.examples import shown
from events.ingest import MOST
from events.states import EventType
from orchestration.models import Project, Task
from runtime.models import TaskRun

# As long as what the log of a run shows of a line, and as the event's own schema allows.
LONGEST_LINE, LONGEST_TEXT, LONGEST_MESSAGE = 4000, 500, 2000
MOST_DETAILS, DEEPEST_DETAILS = 16_384, 32
LEVELS = ("debug", "info", "warning", "error")
_DETAILS_HELP = f"At most {MOST_DETAILS} bytes of JSON, nested at most {DEEPEST_DETAILS} deep."
_EPOCH_HELP = "The `epoch` of the run's start that is meant. One that was superseded is refused with 409 `stale_run`."


class FoundRowField(RowField):
    """The id of a row that is looked for once in a request, however many entries name it."""

    def to_internal_value(self, data: Any) -> Any:
        context: Any = self.context
        rows: Any = cast(Any, self).queryset
        found: dict[Any, Any] = context.setdefault("found_rows", {})
        key = (rows.model, data) if isinstance(data, int) else None
        if key is None or key not in found:
            row = super().to_internal_value(data)
            found[(rows.model, row.pk)] = row
            return row
        return found[key]


class _EntrySerializer(StrictSerializer):
    """What all entries may say."""

    trace_id = serializers.RegexField(
        r"^[A-Za-z0-9_.-]{1,64}$",
        required=False,
        max_length=64,
        help_text="Joins it to other events; else the request's own.",
    )


class _RunEntrySerializer(_EntrySerializer):
    run = FoundRowField(queryset=TaskRun.objects.select_related("task"), project_path="task__project")
    epoch = serializers.IntegerField(min_value=0, max_value=MAX_WHOLE, help_text=_EPOCH_HELP)


class RunLogEntrySerializer(_RunEntrySerializer):
    """A line about a run."""

    type = serializers.ChoiceField(choices=[EventType.RUN_LOG.value])
    level = serializers.ChoiceField(choices=LEVELS, required=False, default="info")
    text = serializers.CharField(max_length=LONGEST_LINE, trim_whitespace=False)
    # The name is also that of an attribute of DRF's, which its metaclass keeps apart.
    source = serializers.CharField(  # type: ignore[assignment]
        max_length=100, required=False, default="", allow_blank=True, help_text="Who says it, such as `ci`."
    )


class RunProgressEntrySerializer(_RunEntrySerializer):
    """Where a run that is under way has got to."""

    type = serializers.ChoiceField(choices=[EventType.RUN_PROGRESS.value])
    text = serializers.CharField(max_length=LONGEST_TEXT)


class AlertEntrySerializer(_EntrySerializer):
    """Something that a person should know."""

    type = serializers.ChoiceField(choices=[EventType.ALERT_RAISED.value])
    project = FoundRowField(queryset=Project.objects.all())
    task = FoundRowField(queryset=Task.objects.all(), required=False)
    run = FoundRowField(queryset=TaskRun.objects.select_related("task"), project_path="task__project", required=False)
    kind = serializers.RegexField(
        r"^[a-z][a-z0-9_]{0,49}$", max_length=50, help_text="What it is, for programs: `ci_failed`."
    )
    message = serializers.CharField(max_length=LONGEST_MESSAGE)
    details = serializers.DictField(required=False, default=dict, help_text=_DETAILS_HELP)

    def validate_details(self, details: dict[str, Any]) -> dict[str, Any]:
        if len(json.dumps(details)) > MOST_DETAILS:
            raise ValidationError(f"At most {MOST_DETAILS} bytes of JSON are accepted.", code="max_length")
        _require_storable(details, DEEPEST_DETAILS)
        return details

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse what belongs to another project, or another task: to say which it is would tell of it."""
        task, run = attrs.get("task"), attrs.get("run")
        if task and task.project_id != attrs["project"].pk:
            raise ValidationError({"task": [_elsewhere(task)]})
        if run and (run.task.project_id != attrs["project"].pk or (task and run.task_id != task.pk)):
            raise ValidationError({"run": [_elsewhere(run)]})
        return attrs


class LoadProbeEntrySerializer(_EntrySerializer):
    """One of many events by which `bbb load events` sees how they arrive; kept as briefly as progress."""

    type = serializers.ChoiceField(choices=[EventType.LOAD_PROBE.value])
    project = FoundRowField(queryset=Project.objects.all())
    test = serializers.RegexField(r"^[a-z0-9]{1,40}$", max_length=40, help_text="Which test it belongs to.")
    number = serializers.IntegerField(min_value=0, max_value=MAX_WHOLE, help_text="Which one it is.")


def _require_storable(value: Any, deeper: int) -> None:
    """Refuse what not every database stores, and what nests deeper than readers can be expected to follow. Raises ValidationError."""
    if isinstance(value, str) and "\0" in value:
        raise ValidationError("Null characters are not allowed.", code="null_characters_not_allowed")
    if isinstance(value, dict | list):
        if not deeper:
            raise ValidationError(f"At most {DEEPEST_DETAILS} levels of nesting are accepted.", code="max_length")
        for each in (*value, *value.values()) if isinstance(value, dict) else value:
            _require_storable(each, deeper - 1)


def _elsewhere(row: Any) -> ErrorDetail:
    return ErrorDetail(f"There is none with the id {row.pk} in what else the entry names.", code="does_not_exist")


ENTRIES: dict[str, serializers.Serializer[Any] | type[serializers.Serializer[Any]]] = {
    EventType.RUN_LOG.value: RunLogEntrySerializer,
    EventType.RUN_PROGRESS.value: RunProgressEntrySerializer,
    EventType.ALERT_RAISED.value: AlertEntrySerializer,
    EventType.LOAD_PROBE.value: LoadProbeEntrySerializer,
}


@extend_schema_field(
    PolymorphicProxySerializer(
        component_name="EventEntry", serializers=ENTRIES, resource_type_field_name="type", many=False
    )
)
class EntryField(serializers.Field[Any, Any, Any, Any]):
    """An entry, read as what its type says."""

    default_error_messages = {
        "not_a_dict": "It is no object.",
        "required": "This field is required.",
        "invalid_choice": "From outside are written: {types}.",
    }

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("not_a_dict")
        if "type" not in data:
            raise ValidationError({"type": [ErrorDetail(str(self.error_messages["required"]), "required")]})
        chosen = ENTRIES.get(data["type"]) if isinstance(data["type"], str) else None
        if chosen is None:
            told = str(self.error_messages["invalid_choice"]).format(types=", ".join(ENTRIES))
            raise ValidationError({"type": [ErrorDetail(told, "invalid_choice")]})
        read: dict[str, Any] = cast(Any, chosen)(context=self.context).run_validation(data)
        return read


@shown(
    request={
        "events": [
            {
                "type": "run.log",
                "run": 12,
                "epoch": 1,
                "level": "warning",
                "text": "3 of 214 tests failed",
                "source": "ci",
            },
            {"type": "alert.raised", "project": 1, "kind": "ci_failed", "message": "The nightly build of main fails."},
        ]
    }
)
class IngestSerializer(StrictSerializer):
    """What happened outside: all of it is written, in this order, or nothing."""

    events = serializers.ListField(child=EntryField(), min_length=1, max_length=MOST)


@shown({"accepted": 2})
class IngestedSerializer(serializers.Serializer[Any]):
    """What was written."""

    accepted = serializers.IntegerField(help_text="How many entries are in the log now.")
