"""The stream over HTTP, as browsers and programs ask for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import AsyncClient

from events import hub
from events.tests.factories import record
from events.tests.streams import SSE as URL
from events.tests.streams import Stream, in_database, streaming
from security.roles import Role
from security.services import limit_access, revoke_token
from security.tests.factories import ACTOR, make_token, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("settled")]


@pytest.fixture
def token(transactional_db: None) -> str:
    return make_token(make_user(Role.VIEWER))[1]


def record_many(count: int) -> list[int]:
    return [record(task_id=number).id for number in range(1, count + 1)]


async def test_an_event_arrives_as_the_api_shows_it(token: str) -> None:
    async with streaming(token) as stream:
        event = await in_database(record, task_id=7)
        expected = {"type": "event", "id": event.id, "event": event.frame(), "last_event_id": str(event.id)}
        assert await stream.frame() == expected


async def test_a_browser_that_comes_again_goes_on_where_it_was(token: str) -> None:
    ids = await in_database(record_many, 4)
    # Its address is the one of the beginning, whatever it has read since.
    for query in ("", "after=0", "replay_last=1"):
        async with streaming(token, query, **{"Last-Event-ID": str(ids[1])}) as stream:
            assert await stream.ids(2) == ids[2:]


async def test_a_browser_that_has_heard_of_nothing_yet_goes_on_from_the_beginning(token: str) -> None:
    ids = await in_database(record_many, 4)
    for query, begin in (("type=alert.", ids[3]), ("after=2", 2), ("replay_last=2", ids[1])):
        async with streaming(token, query) as stream:
            assert stream.opening["id"] == str(begin)


async def test_a_browser_that_must_load_anew_hears_so_until_it_has(token: str) -> None:
    event = await in_database(record)
    async with streaming(token, f"after={event.id + 1}") as stream:
        # Should it lose the connection before the frame has come, it asks with the same cursor again.
        assert "id" not in stream.opening


async def test_the_last_events_are_replayed(token: str) -> None:
    ids = await in_database(record_many, 5)
    async with streaming(token, "replay_last=2") as stream:
        assert await stream.ids(2) == ids[3:]


async def test_the_last_events_are_those_that_the_filter_lets_through(token: str) -> None:
    ids = await in_database(record_many, 5)
    async with streaming(token, "replay_last=2&task=1&task=3&task=4") as stream:
        assert await stream.ids(2) == [ids[2], ids[3]]


async def test_fewer_than_asked_for_are_all(token: str) -> None:
    ids = await in_database(record_many, 2)
    async with streaming(token, "replay_last=10") as stream:
        later = await in_database(record_many, 1)
        assert await stream.ids(3) == ids + later


async def test_only_events_have_an_id(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HEARTBEAT_S", 0.05)
    event = await in_database(record)
    async with streaming(token, f"after={event.id + 1}") as stream:
        told = await stream.frame()
        assert (told["type"], told["cursor"], told["last_event_id"]) == ("resync", event.id, None)
        assert json.loads((await stream.message())[""]) == {"type": "heartbeat", "cursor": event.id}


async def test_a_stream_is_kept_from_caches_and_buffers(token: str) -> None:
    async with streaming(token) as stream:
        headers = stream.response.headers
        assert headers["Content-Type"] == "text/event-stream"
        assert headers["Cache-Control"] == "no-cache"
        assert headers["X-Accel-Buffering"] == "no"
        assert headers["X-Trace-ID"]


async def test_a_session_opens_a_stream() -> None:
    client = AsyncClient()
    await client.aforce_login(await in_database(make_user, Role.VIEWER))
    # A proxy may have asked for a password of its own.
    response: Any = await client.get(URL, headers={"Accept": "text/event-stream", "Authorization": "Basic YWRhOng="})
    stream = Stream(response)
    assert (await stream.frame())["type"] == "hello"
    event = await in_database(record)
    assert await stream.ids(1) == [event.id]
    await stream.leave()


@pytest.mark.parametrize(
    ("query", "code", "parameter"),
    [
        ("after=x", "invalid", "after"),
        ("after=-1", "invalid", "after"),
        ("after=1&after=2", "invalid", "after"),
        ("after=1&replay_last=2", "invalid", "replay_last"),
        ("replay_last=1001", "invalid", "replay_last"),
        ("project=x", "invalid", "project"),
        ("task=", "blank", "task"),
        ("type=nonsense", "invalid", "type"),
        ("typ=task.created", "unknown_parameter", "typ"),
        ("trace_id=%00", "invalid", "trace_id"),
    ],
)
async def test_what_means_nothing_is_refused_as_everywhere(token: str, query: str, code: str, parameter: str) -> None:
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    response = await AsyncClient().get(f"{URL}?{query}", headers=headers)
    assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")
    error = response.json()["errors"][0]
    assert (error["code"], error["parameter"]) == (code, parameter)


async def test_an_id_that_is_none_is_refused(token: str) -> None:
    headers = {"Authorization": f"Bearer {token}", "Last-Event-ID": "nonsense"}
    assert (await AsyncClient().get(URL, headers=headers)).status_code == 400


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer bbb_nonsense"}])
async def test_a_stranger_is_refused(headers: dict[str, str]) -> None:
    response = await AsyncClient().get(URL, headers={"Accept": "text/event-stream", **headers})
    assert (response.status_code, response["Content-Type"]) == (401, "application/problem+json")


async def test_a_head_ends(token: str) -> None:
    response = await AsyncClient().head(URL, headers={"Authorization": f"Bearer {token}"})
    assert (response.status_code, response.content) == (200, b"")


async def test_revoking_the_token_ends_the_stream_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HEARTBEAT_S", 3600.0)
    kept, text = await in_database(lambda: make_token(make_user(Role.VIEWER)))
    async with streaming(text) as stream:
        await in_database(lambda: revoke_token(kept, actor=ACTOR))
        assert (await stream.frame())["code"] == "not_authenticated"
        assert await stream.is_over()


async def test_a_limited_listener_hears_of_their_projects_only() -> None:
    def limited() -> str:
        user = make_user(Role.VIEWER)
        limit_access(user, project_ids=[1], actor=ACTOR)
        return make_token(user)[1]

    token = await in_database(limited)
    async with streaming(token, "replay_last=0") as stream:
        ids = [(await in_database(record, project_id=project)).id for project in (2, None, 1)]
        assert await stream.ids(1) == ids[2:]


async def test_a_client_that_goes_away_is_forgotten(token: str) -> None:
    async with streaming(token):
        assert hub.hub()._listeners
    assert not hub.hub()._listeners
    assert not hub.hub()._watches
