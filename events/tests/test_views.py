from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from events.models import Event
from events.states import EventType
from events.tests.factories import ACTOR, record
from security.roles import Role
from security.services import limit_access
from security.tests.factories import make_user

pytestmark = pytest.mark.django_db

URL = "/api/v1/events"


@pytest.fixture
def api() -> APIClient:
    client = APIClient()
    client.force_login(make_user(Role.VIEWER))
    return client


def ids(api: APIClient, query: str = "") -> list[int]:
    answer = api.get(f"{URL}?{query}")
    assert answer.status_code == 200, answer.json()
    return [event["id"] for event in answer.json()["results"]]


def all_pages(api: APIClient, query: str) -> list[int]:
    url: str | None = f"{URL}?{query}"
    found: list[int] = []
    while url:
        page = api.get(url).json()
        found += [event["id"] for event in page["results"]]
        url = page["next"]
    return found


def test_the_newest_come_first(api: APIClient) -> None:
    recorded = [record().id for _ in range(3)]
    assert ids(api) == recorded[::-1]


def test_after_a_cursor_the_oldest_come_first(api: APIClient) -> None:
    recorded = [record().id for _ in range(4)]
    assert ids(api, f"after={recorded[0]}") == recorded[1:]


def test_pages_after_a_cursor_hold_everything_once(api: APIClient) -> None:
    recorded = [record().id for _ in range(7)]
    assert all_pages(api, f"after={recorded[0]}&limit=2") == recorded[1:]


def test_an_event_looks_as_on_the_stream(api: APIClient) -> None:
    event = record(task_id=7)
    assert api.get(f"{URL}/{event.id}").json() == event.frame()


def test_the_list_is_narrowed(api: APIClient) -> None:
    wanted = record(project_id=2, task_id=7, run_id=9, trace_id="t")
    record(EventType.TASK_DELETED, id=1)
    for query in ("project=2", "task=7", "run=9", "trace_id=t", "type=task.created", "type=task.&run=9"):
        assert ids(api, query) == [wanted.id], query


def test_types_may_be_repeated(api: APIClient) -> None:
    record(EventType.AGENT_CREATED)
    wanted = [record(EventType.TASK_DELETED, id=1).id, record().id]
    assert ids(api, "after=0&type=task.created&type=task.deleted") == wanted


@pytest.mark.parametrize("query", ["after=x", "project=0", f"task={10**30}", "type=nonsense", "limit=0", "cursor=x"])
def test_a_query_that_means_nothing_is_refused(api: APIClient, query: str) -> None:
    answer = api.get(f"{URL}?{query}")
    assert answer.status_code == 400
    assert [error["parameter"] for error in answer.json()["errors"]] == [query.partition("=")[0]]


@pytest.mark.parametrize("id_", ["0", "999", "x", str(2**63), str(10**40), "-1"])
def test_an_event_that_is_not_there_is_not_found(api: APIClient, id_: str) -> None:
    assert api.get(f"{URL}/{id_}").status_code == 404


def test_the_cursor_is_the_newest_event(api: APIClient) -> None:
    record()
    newest = record()
    assert api.get(f"{URL}/cursor").json() == {"cursor": newest.id}


def test_the_cursor_of_an_empty_log_is_0(api: APIClient) -> None:
    assert api.get(f"{URL}/cursor").json() == {"cursor": 0}


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_nobody_writes_the_log(method: str) -> None:
    client = APIClient()
    client.force_login(make_user(Role.ADMIN))
    event = record()
    assert getattr(client, method)(f"{URL}/{event.id}", {}, format="json").status_code == 405
    assert Event.objects.get().frame() == event.frame()


def test_strangers_see_nothing(client: Client) -> None:
    paths: list[Any] = [URL, f"{URL}/cursor", f"{URL}/{record().id}"]
    assert {client.get(path).status_code for path in paths} == {401}


class TestLimits:
    """Who is limited to project 1 hears of nothing else."""

    @pytest.fixture
    def limited(self) -> APIClient:
        user = make_user(Role.ADMIN)
        limit_access(user, project_ids=[1], actor=ACTOR)
        client = APIClient()
        client.force_login(user)
        return client

    @pytest.mark.parametrize("query", ["", "after=0", "task=7", "after=0&task=7", "type=task.", "trace_id=t"])
    def test_the_list_holds_their_projects_only(self, limited: APIClient, query: str) -> None:
        inside = record(project_id=1, task_id=7, trace_id="t").id
        for project in (2, None):
            record(project_id=project, task_id=7, trace_id="t")
        assert ids(limited, query) == [inside]

    def test_another_project_looks_like_none(self, limited: APIClient) -> None:
        record(project_id=2)
        assert ids(limited, "project=2") == ids(limited, "project=3") == []

    @pytest.mark.parametrize("project", [2, None])
    def test_an_event_outside_is_not_found(self, limited: APIClient, project: int | None) -> None:
        outside = record(project_id=project)
        answers = [limited.get(f"{URL}/{id_}") for id_ in (outside.id, 10**9)]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].json()["errors"] == answers[1].json()["errors"]


@pytest.mark.parametrize(("role", "is_shown"), [(Role.VIEWER, False), (Role.OPERATOR, False), (Role.ADMIN, True)])
def test_what_the_guards_recorded_is_for_admins(role: Role, is_shown: bool) -> None:
    client = APIClient()
    client.force_login(make_user(role))
    event = record(EventType.SECURITY_AUDIT_ACCESS, project_id=None, action="x", resource="y", outcome="denied")
    assert (ids(client) == [event.id]) is is_shown
    assert (client.get(f"{URL}/{event.id}").status_code == 200) is is_shown
