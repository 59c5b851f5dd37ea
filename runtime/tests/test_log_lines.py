"""Log lines written before lines had a place and a level of their own."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.utils import timezone

from events.states import Level
from orchestration.models import Agent, Task
from runtime.models import RunLog
from runtime.states import LogKind
from runtime.tests.factories import running

pytestmark = pytest.mark.django_db

place_lines = import_module("runtime.migrations.0009_place_log_lines").place_lines


def test_lines_of_an_earlier_version_are_given_what_new_ones_have(task: Task, agent: Agent) -> None:
    run = running(task, agent)
    said: list[tuple[LogKind, dict[str, Any], Level]] = [
        (LogKind.TEXT, {"text": "a"}, Level.INFO),
        (LogKind.TOOL_RESULT, {"is_error": True}, Level.WARNING),
        (LogKind.TOOL_RESULT, {"is_error": False}, Level.INFO),
        (LogKind.STDERR, {"text": "b"}, Level.ERROR),
    ]
    RunLog.objects.bulk_create(
        RunLog(run=run, seq=seq, at=timezone.now(), kind=kind, body=body) for seq, (kind, body, _) in enumerate(said, 1)
    )
    place_lines(apps, None)
    lines = RunLog.objects.order_by("seq")
    assert [(line.project_id, line.agent_id, line.level) for line in lines] == [
        (task.project_id, agent.pk, level) for _, _, level in said
    ]
