"""The list of events: what can be asked of it, and that an index answers each question, however long the log is."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.http import QueryDict
from django.utils import timezone
from rest_framework.test import APIClient

from events.filters import EventListFilter
from events.models import Event
from events.states import EventType, Level
from events.tests.factories import ACTOR, record
from security.roles import Role
from security.tests.factories import make_user

pytestmark = pytest.mark.django_db

URL = "/api/v1/events"
T = EventType


@pytest.fixture
def api() -> APIClient:
    client = APIClient()
    client.force_login(make_user(Role.VIEWER))
    return client


def ids(api: APIClient, **query: Any) -> list[int]:
    answer = api.get(URL, query)
    assert answer.status_code == 200, answer.json()
    return [event["id"] for event in answer.json()["results"]]


def alert(message: str = "", **place: Any) -> int:
    return record(T.ALERT_RAISED, kind="x", message=message, **place).pk


def test_the_level_of_an_event_follows_from_what_it_says() -> None:
    moved: dict[str, Any] = {"before": "running", "version": 2}
    judged: dict[str, Any] = {"action": "x", "resource": "y"}
    told = [
        record(T.TASK_CREATED),
        record(T.TASK_STATUS_CHANGED, after="review", **moved),
        record(T.TASK_STATUS_CHANGED, after="blocked", **moved),
        record(T.TASK_STATUS_CHANGED, after="failed", **moved),
        record(T.ALERT_RAISED, kind="x", message=""),
        record(T.SECURITY_AUDIT_TOKEN, outcome="allowed", **judged),
        record(T.SECURITY_AUDIT_TOKEN, outcome="denied", **judged),
        record(T.TASK_INTERVENTION_AUDIT, command="pause", outcome="refused"),
        record(T.RUN_LOG, epoch=1, level="debug", text="", source="ci"),
    ]
    info, warning, error = Level.INFO, Level.WARNING, Level.ERROR
    assert [event.level for event in told] == [info, info, warning, error, warning, info, warning, warning, Level.DEBUG]


def test_only_what_is_at_least_so_loud(api: APIClient) -> None:
    quiet, loud = record().pk, alert()
    failed = record(T.TASK_STATUS_CHANGED, before="running", after="failed", version=2).pk
    assert ids(api, level="info") == [failed, loud, quiet]
    assert ids(api, level="warning") == [failed, loud]
    assert ids(api, level="error") == [failed]


def test_only_what_an_agent_did(api: APIClient) -> None:
    record()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("events.tests.factories.ACTOR", "agent:3")
        done = record().pk
    assert ids(api, agent=3) == [done]
    assert Event.objects.get(pk=done).frame()["agent_id"] == 3


class TestTime:
    @pytest.fixture
    def hours(self) -> list[Event]:
        """Events of the last hours, the newest last."""
        begin, found = timezone.now() - timedelta(hours=3), []
        with pytest.MonkeyPatch.context() as patch:
            for hour in range(4):
                patch.setattr(timezone, "now", lambda at=begin + timedelta(hours=hour): at)
                found.append(record())
        return found

    def test_only_what_happened_in_between(self, api: APIClient, hours: list[Event]) -> None:
        first, second, third, fourth = hours
        assert ids(api, since=third.at.isoformat()) == [fourth.pk, third.pk]
        assert ids(api, until=second.at.isoformat()) == [first.pk]
        assert ids(api, since=second.at.isoformat(), until=fourth.at.isoformat()) == [third.pk, second.pk]

    def test_clocks_that_differ_a_little_hide_nothing(self, api: APIClient, hours: list[Event]) -> None:
        second, third = hours[1:3]
        Event.objects.filter(pk=third.pk).update(at=second.at - timedelta(minutes=1))
        assert ids(api, since=second.at.isoformat()) == [hours[3].pk, second.pk]
        assert ids(api, until=second.at.isoformat()) == [third.pk, hours[0].pk]

    def test_a_time_to_come_finds_nothing(self, api: APIClient, hours: list[Event]) -> None:
        later = timezone.now() + timedelta(days=1)
        assert ids(api, since=later.isoformat()) == []
        assert len(ids(api, until=later.isoformat())) == 4


class TestText:
    @pytest.mark.parametrize(
        "text", ["honey", "HONEY", "\u00fcber", 'a "quoted"', "50 %", "new\nline", "back\\slash", "\U0001f41d", "_"]
    )
    def test_what_an_event_says_is_found(self, api: APIClient, text: str) -> None:
        alert("nothing of it", task_id=7)
        # Letters beyond ASCII are found as they are written.
        said = alert(f"Some {text.lower()} in it", task_id=7)
        found = ids(api, task=7, text=text)
        assert said in found
        assert len(found) == (1 if text != "_" else len(found))

    @pytest.mark.parametrize("place", [{"task": 7}, {"run": 9}, {"trace_id": "t"}])
    def test_it_is_looked_for_in_a_place(self, api: APIClient, place: dict[str, Any]) -> None:
        said = alert("honey", task_id=7, run_id=9, trace_id="t")
        alert("honey")
        assert ids(api, text="honey", **place) == [said]

    def test_it_is_looked_for_within_a_day(self, api: APIClient) -> None:
        said = alert("honey")
        since = timezone.now() - timedelta(hours=23)
        assert ids(api, text="honey", since=since.isoformat()) == [said]
        begin = timezone.now() - timedelta(days=10)
        assert ids(api, text="honey", since=begin.isoformat(), until=(begin + timedelta(days=1)).isoformat()) == []

    @pytest.mark.parametrize("query", [{}, {"project": 1}, {"agent": 1}, {"type": "alert."}, {"days": 2}])
    def test_it_is_not_looked_for_everywhere(self, api: APIClient, query: dict[str, Any]) -> None:
        if days := query.pop("days", 0):
            query["since"] = (timezone.now() - timedelta(days=days)).isoformat()
        answer = api.get(URL, {"text": "honey", **query})
        assert answer.status_code == 400
        error = answer.json()["errors"][0]
        assert (error["parameter"], error["code"]) == ("text", "search_too_wide")


@pytest.fixture
def long_log() -> None:
    """A log in which each project, task, run, agent and trace has a small share, and in which little is loud."""
    at = timezone.now() - timedelta(days=2)
    Event.objects.bulk_create(
        Event(
            at=at + timedelta(minutes=number),
            type=T.ALERT_RAISED if number % 100 == 0 else T.TASK_UPDATED,
            project_id=number % 20,
            task_id=number % 500,
            run_id=number % 700,
            agent_id=number % 50,
            actor=ACTOR,
            trace_id=f"t{number % 900}",
            level=Level.WARNING if number % 100 == 0 else Level.INFO,
            payload={"id": number, "version": 1, "fields": []},
        )
        for number in range(600)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE events_event")
        if connection.vendor == "postgresql":
            # As of a table that is too long to be read or sorted.
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
            cursor.execute("SET LOCAL enable_incremental_sort = off")


def plan_of(order: str = "-id", **query: str) -> str:
    """Return how the database reads a page of the list."""
    asked = QueryDict(mutable=True)
    asked.update(query)
    chosen = EventListFilter(asked, Event.objects.all())
    assert chosen.is_valid(), chosen.errors
    return chosen.filter_queryset(Event.objects.all()).order_by(order)[:51].explain()


def hour(number: int) -> str:
    at: datetime = Event.objects.order_by("id")[number].at
    return at.isoformat()


PLANS: list[tuple[dict[str, str], str]] = [
    ({"project": "3"}, "event_project"),
    ({"task": "3"}, "event_task"),
    ({"run": "3"}, "event_run"),
    ({"agent": "3"}, "event_agent"),
    ({"trace_id": "t3"}, "event_trace"),
    ({"type": "alert.raised"}, "event_type"),
    ({"level": "warning"}, "event_loud"),
    ({"level": "error"}, "event_loud"),
    ({"project": "3", "level": "warning"}, "event_project_loud"),
    ({"task": "3", "text": "honey"}, "event_task"),
]


@pytest.mark.parametrize("order", ["-id", "id"])
def test_an_index_answers_every_question_without_sorting(long_log: None, order: str) -> None:
    # Between the first and the last event of what is asked for PostgreSQL may also read the log itself.
    between_edges = r"using events_event_pkey\b[^\n]*\n\s+Index Cond: \(\(id >= \d+\) AND \(id <= \d+\)\)"
    for query, index in PLANS:
        plan = plan_of(order, **query)
        assert re.search(rf"(INDEX|using) {index}\b|{between_edges}", plan), (query, plan)
        assert not re.search("TEMP B-TREE|Sort", plan), (query, plan)


@pytest.mark.parametrize("order", ["-id", "id"])
def test_a_stretch_of_time_is_a_stretch_of_the_log(long_log: None, order: str) -> None:
    plan = plan_of(order, since=hour(200), until=hour(210))
    assert re.search(r"PRIMARY KEY \(rowid>\? AND rowid<\?\)|Index Cond: \(\(id >= \d+\) AND \(id < \d+\)\)", plan), (
        plan
    )
    assert not re.search("TEMP B-TREE|Sort", plan), plan


def test_a_time_becomes_a_cursor_by_one_look_into_an_index(long_log: None) -> None:
    plan = Event.objects.filter(at__gte=timezone.now()).order_by("at").values_list("id")[:1].explain()
    assert re.search(r"INDEX event_at\b|using event_at\b", plan), plan


def test_what_has_not_been_heard_of_for_long_is_not_looked_for_in_what_is_newer(long_log: None) -> None:
    first, second = Event.objects.order_by("id").values_list("pk", flat=True)[100:102]
    Event.objects.filter(pk__in=[first, second]).update(project_id=99, agent_id=None)
    plan = plan_of(project="99")
    # SQLite takes the index of the project in any case.
    is_bounded = re.search(rf"id >= {first}\).*id <= {second}\)", plan)
    assert is_bounded or connection.vendor == "sqlite", plan
