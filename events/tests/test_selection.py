from __future__ import annotations

import itertools
from typing import Any

import pytest
from django.http import QueryDict

from events.filters import EventFilter
from events.frames import Frame
from events.models import Event
from events.selection import Selection, Sight
from events.states import EventType
from events.tests.factories import record
from security.access import Rights
from security.roles import Role

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


SIGHTS = [Sight(projects, is_admin) for projects in (None, frozenset(), frozenset({1})) for is_admin in (False, True)]
AUDIT: dict[str, Any] = {"action": "login", "resource": "x", "outcome": "denied"}


def seen(sight: Sight) -> set[tuple[int | None, str]]:
    return {(event.project_id, event.type) for event in sight.narrow(Event.objects.all())}


@pytest.fixture
def log() -> None:
    for project in (None, 1, 2):
        record(EventType.TASK_CREATED, project_id=project)
        record(EventType.SECURITY_AUDIT_ACCESS, project_id=project, **AUDIT)


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("sight", SIGHTS, ids=str)
def test_list_and_stream_hide_the_same(sight: Sight) -> None:
    assert list(sight.narrow(Event.objects.all())) == [
        event for event in Event.objects.all() if sight.covers(Frame.of(event))
    ]


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_what_the_guards_recorded_is_for_admins(role: Role) -> None:
    assert seen(Sight.of(Rights(role))) == {(project, "task.created") for project in (None, 1, 2)}
    assert seen(Sight.of(Rights(role, frozenset({1})))) == {(1, "task.created")}


@pytest.mark.usefixtures("log")
def test_what_belongs_to_no_project_is_for_those_who_see_all() -> None:
    assert seen(Sight.of(Rights(Role.ADMIN, frozenset({1})))) == {(1, "task.created"), (1, "security.audit.access")}
    assert len(seen(Sight.of(Rights(Role.ADMIN)))) == 6


@pytest.mark.usefixtures("log")
def test_without_rights_nothing_is_seen() -> None:
    assert seen(Sight.of(None)) == set()
