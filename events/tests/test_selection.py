from __future__ import annotations

import itertools

import pytest
from django.http import QueryDict

from events.filters import EventFilter
from events.frames import Frame
from events.models import Event
from events.selection import Selection
from events.states import EventType
from events.tests.factories import record

pytestmark = pytest.mark.django_db

QUERIES = [
    "",
    "project=1",
    "task=2",
    "run=3",
    "project=1&task=2&run=3",
    "trace_id=a",
    "type=task.created",
    "type=task.",
    "type=task.&type=run.progress",
    "type=agent.&project=2",
]


def selection(query: str) -> Selection:
    form = EventFilter(QueryDict(query))
    assert form.is_valid(), form.errors
    return Selection.of(form.form.cleaned_data)


@pytest.mark.parametrize("query", QUERIES)
def test_list_and_stream_choose_the_same(query: str) -> None:
    progress = {"epoch": 1, "seq": 1, "kind": "text", "text": ""}
    for project, task, run in itertools.product((1, 2), (None, 2), (None, 3)):
        ids = {"project_id": project, "task_id": task, "run_id": run}
        record(EventType.TASK_CREATED, **ids, trace_id="a")
        record(EventType.TASK_DELETED, **ids, id=1)  # type: ignore[arg-type]
        record(EventType.RUN_PROGRESS, **ids, **progress)  # type: ignore[arg-type]
        record(EventType.AGENT_CREATED, **ids, trace_id="b")
    chosen = selection(query)
    listed = list(chosen.narrow(Event.objects.all()))
    assert listed == [event for event in Event.objects.all() if chosen.matches(Frame.of(event))]
    assert listed


@pytest.mark.parametrize(
    "query",
    [
        "after=-1",
        "after=x",
        "after=1.5",
        f"after={2**63}",
        "project=0",
        "task=-3",
        f"run={10**30}",
        "type=task",
        "type=task.creat",
        "type=nonsense.",
        "type=task.created&type=nonsense",
        "trace_id=" + "x" * 65,
        "trace_id=%00",
    ],
)
def test_values_that_mean_nothing_are_refused(query: str) -> None:
    assert not EventFilter(QueryDict(query)).is_valid()
