"""Several subscriptions on one socket, and what a client says."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.http import QueryDict

from events import hub, relay, retention, subscribing, subscriptions, tail
from events.frames import Frame
from events.models import Event, Floor
from events.relay import TOO_MANY
from events.selection import Sight
from events.states import EventType
from events.subscribing import Message, NotUnderstood, Wanted
from events.tests.factories import record
from events.tests.streams import (
    PATIENCE_S,
    Headers,
    close_code_of,
    connected,
    frame_of,
    ids_of,
    in_database,
    session_headers,
    token_headers,
)
from security.roles import Role
from security.tests.factories import make_token, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("settled")]

LATER = "subscribe=later"


async def say(stream: WebsocketCommunicator, **message: Any) -> dict[str, Any]:
    """Send a message and return the next frame."""
    await stream.send_json_to(message)
    return await frame_of(stream)


async def subscribe(stream: WebsocketCommunicator, sub: str, **filters: Any) -> None:
    told = await say(stream, subscribe={"id": sub, **filters})
    assert (told["type"], told["sub"]) == ("subscribed", sub), told


def record_many(count: int, **ids: int) -> list[int]:
    return [record(**ids).id for _ in range(count)]  # type: ignore[arg-type]


async def test_each_subscription_has_its_filters_and_its_cursor(viewer: Headers) -> None:
    before = await in_database(record_many, 2, task_id=1)
    async with connected(LATER, viewer) as stream:
        await frame_of(stream)
        await subscribe(stream, "past", after=before[0], task=1)
        assert await ids_of(stream, 1) == [before[1]]
        await subscribe(stream, "now", task=[2, 3], type="task.")
        two, one = await in_database(record, task_id=2), await in_database(record, task_id=1)
        told = [await frame_of(stream) for _ in range(2)]
        assert sorted((frame["sub"], frame["id"]) for frame in told) == [("now", two.id), ("past", one.id)]


async def test_a_frame_of_a_subscription_is_the_frame_with_its_name(viewer: Headers) -> None:
    name = 'ä"\\'
    async with connected(LATER, viewer) as stream:
        await frame_of(stream)
        await subscribe(stream, name)
        event = await in_database(record)
        assert await frame_of(stream) == {"type": "event", "sub": name, "id": event.id, "event": event.frame()}


async def test_a_socket_that_subscribes_later_hears_nothing_before(viewer: Headers) -> None:
    async with connected(LATER, viewer) as stream:
        await frame_of(stream)
        await in_database(record)
        await subscribe(stream, "a")
        event = await in_database(record)
        assert await ids_of(stream, 1) == [event.id]


async def test_the_subscription_of_the_address_goes_on_beside_others(viewer: Headers) -> None:
    async with connected("task=1", viewer) as stream:
        await frame_of(stream)
        await subscribe(stream, "two", task=2)
        ids = [(await in_database(record, task_id=task)).id for task in (1, 2, 3)]
        told = [await frame_of(stream) for _ in range(2)]
        assert sorted((frame["id"], frame.get("sub")) for frame in told) == [(ids[0], None), (ids[1], "two")]


async def test_behind_its_end_nothing_comes_of_a_subscription(viewer: Headers) -> None:
    async with connected(LATER, viewer) as stream:
        await frame_of(stream)
        await subscribe(stream, "a")
        await subscribe(stream, "b")
        assert await say(stream, unsubscribe="a") == {"type": "unsubscribed", "sub": "a"}
        event = await in_database(record)
        frame = await frame_of(stream)
        assert (frame["sub"], frame["id"]) == ("b", event.id)
        await subscribe(stream, "a", after=0)
        assert (await frame_of(stream))["sub"] == "a"


async def test_a_heartbeat_tells_how_far_each_subscription_is(viewer: Headers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HEARTBEAT_S", 0.05)
    async with connected(LATER, viewer) as stream:
        await frame_of(stream)
        await subscribe(stream, "a", task=7)
        event = await in_database(record, task_id=8)
        async with asyncio.timeout(PATIENCE_S):
            while (told := await stream.receive_json_from(PATIENCE_S))["cursor"] < event.id:
                pass
        assert told == {"type": "heartbeat", "cursor": event.id, "subs": {"a": event.id}}


@pytest.mark.parametrize(
    "text",
    [
        "{not json",
        "[]",
        "{}",
        '{"subscribe": "a"}',
        '{"subscribe": {}}',
        '{"subscribe": {"id": ""}}',
        '{"subscribe": {"id": 7}}',
        '{"subscribe": {"id": "a"}, "more": 1}',
        '{"subscribe": {"id": "a", "after": "x"}}',
        '{"subscribe": {"id": "a", "after": true}}',
        '{"subscribe": {"id": "a", "after": 1.5}}',
        '{"subscribe": {"id": "a", "after": 1, "replay_last": 1}}',
        '{"subscribe": {"id": "a", "task": {}}}',
        '{"subscribe": {"id": "a", "task": [0]}}',
        '{"subscribe": {"id": "a", "type": ["nonsense"]}}',
        '{"subscribe": {"id": "a", "trace_id": null}}',
        '{"subscribe": {"id": "a", "trace_id": 7}}',
        '{"subscribe": {"id": "a", "nonsense": 1}}',
        '{"subscribe": {"id": "a", "task": [' + "1," * 100 + "1]}}",
        '{"subscribe": {"id": "' + "x" * 65 + '"}}',
        '{"unsubscribe": {"id": "a"}}',
    ],
)
async def test_a_message_that_means_nothing_is_answered_and_ends_nothing(viewer: Headers, text: str) -> None:
    async with connected("", viewer) as stream:
        await frame_of(stream)
        await stream.send_to(text_data=text)
        told = await frame_of(stream)
        assert (told["type"], told["code"]) == ("error", "bad_message")
        assert told["detail"]
        event = await in_database(record)
        assert await ids_of(stream, 1) == [event.id]


async def test_bytes_are_no_message(viewer: Headers) -> None:
    async with connected("", viewer) as stream:
        await frame_of(stream)
        await stream.send_to(bytes_data=b"\x00")
        assert (await frame_of(stream))["code"] == "bad_message"


async def test_a_name_is_used_once_at_a_time(viewer: Headers) -> None:
    async with connected(LATER, viewer) as stream:
        await frame_of(stream)
        await subscribe(stream, "a")
        told = await say(stream, subscribe={"id": "a", "task": 7})
        assert (told["code"], told["sub"]) == ("name_taken", "a")
        told = await say(stream, unsubscribe="b")
        assert (told["code"], told["sub"]) == ("not_subscribed", "b")


async def test_a_socket_has_so_many_subscriptions_and_no_more(viewer: Headers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "MOST_SUBSCRIPTIONS", 2)
    async with connected("", viewer) as stream:
        await frame_of(stream)
        await subscribe(stream, "a")
        assert (await say(stream, subscribe={"id": "b"}))["code"] == "too_many_subscriptions"
        await say(stream, unsubscribe="a")
        await subscribe(stream, "b")


async def test_who_sends_more_than_is_carried_out_is_sent_away(
    viewer: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "MOST_MESSAGES", 0)
    async with connected("", viewer) as stream:
        await frame_of(stream)
        assert (await say(stream, unsubscribe="a"))["code"] == "too_many_messages"
        assert await close_code_of(stream) == TOO_MANY


async def test_what_is_said_before_the_greeting_is_carried_out_after_it(viewer: Headers) -> None:
    async with connected(LATER, viewer) as stream:
        await stream.send_json_to({"subscribe": {"id": "a"}})
        assert [(await frame_of(stream))["type"] for _ in range(2)] == ["hello", "subscribed"]


async def test_streams_opened_too_often_are_refused(viewer: Headers, settings: Any) -> None:
    settings.API_PER_MINUTE = 2
    for _ in range(2):
        async with connected("", viewer) as stream:
            assert (await frame_of(stream))["type"] == "hello"
    async with connected("", viewer) as stream:
        assert (await frame_of(stream))["code"] == "throttled"
        assert await close_code_of(stream) == TOO_MANY
    # Somebody else is not meant.
    other = await in_database(lambda: session_headers(make_user(Role.VIEWER, username="other")))
    async with connected("", other) as stream:
        assert (await frame_of(stream))["type"] == "hello"


async def test_a_subscription_sees_only_the_projects_of_its_user(viewer: Headers) -> None:
    _, text = await in_database(lambda: make_token(make_user(Role.VIEWER, username="b"), project_ids=[1]))
    async with connected(LATER, token_headers(text)) as stream:
        await frame_of(stream)
        await subscribe(stream, "two", after=0, project=2)
        await subscribe(stream, "both", after=0, project=[1, 2])
        ids = [(await in_database(record, project_id=project)).id for project in (2, 1)]
        frame = await frame_of(stream)
        assert (frame["sub"], frame["id"]) == ("both", ids[1])


# Retention: a cursor that is too old.


def prune(*types: EventType, cursor: int) -> None:
    Event.objects.filter(type__in=types, id__lte=cursor).delete()
    for type_ in types:
        Floor.objects.update_or_create(
            type=type_, defaults={"cursor": cursor, "pruned_at": Event.objects.latest("id").at}
        )


async def test_a_cursor_older_than_retention_is_told_to_load_anew_and_goes_on(viewer: Headers) -> None:
    ids = await in_database(record_many, 3)
    await in_database(prune, EventType.TASK_CREATED, cursor=ids[1])
    async with connected(f"after={ids[0]}", viewer) as stream:
        await frame_of(stream)
        told = await frame_of(stream)
        assert (told["type"], told["code"], told["cursor"]) == ("resync", "resync", ids[2])
        later = await in_database(record)
        assert await ids_of(stream, 1) == [later.id]
    async with connected(f"after={ids[1]}", viewer) as stream:
        await frame_of(stream)
        assert await ids_of(stream, 1) == [ids[2]]


async def test_what_was_pruned_of_types_that_are_not_wanted_is_not_missed(viewer: Headers) -> None:
    ids = await in_database(record_many, 2)
    await in_database(prune, EventType.RUN_PROGRESS, cursor=ids[1])
    async with connected("after=0&type=task.", viewer) as stream:
        await frame_of(stream)
        assert await ids_of(stream, 2) == ids


async def test_a_subscription_is_told_by_its_name(viewer: Headers) -> None:
    async with connected(LATER, viewer) as stream:
        cursor = (await frame_of(stream))["cursor"]
        await subscribe(stream, "a", after=cursor + 1)
        told = await frame_of(stream)
        assert (told["type"], told["sub"], told["cursor"]) == ("resync", "a", cursor)


async def test_who_falls_behind_retention_while_reading_is_told_so(
    viewer: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "RING_SIZE", 1)
    monkeypatch.setattr(subscriptions, "BATCH", 2)
    ids = await in_database(record_many, 6)
    read = subscriptions._read_now

    def read_slowly(*args: Any) -> Any:
        # Between two of its readings all is pruned.
        if args[2] > ids[0]:
            prune(EventType.TASK_CREATED, cursor=ids[4])
        return read(*args)

    monkeypatch.setattr(subscriptions, "_read", database_sync_to_async(read_slowly, thread_sensitive=False))
    async with connected(f"after={ids[0] - 1}", viewer) as stream:
        await frame_of(stream)
        assert await ids_of(stream, 2) == ids[:2]
        told = await frame_of(stream)
        assert (told["type"], told["cursor"]) == ("resync", ids[5])


# What is read out of queries and messages.


@pytest.mark.parametrize("query", ["after=1", "replay_last=3", "task=1&task=2&type=task.&type=run.progress"])
async def test_an_address_and_a_message_ask_for_the_same(query: str) -> None:
    wanted = Wanted.of_query(QueryDict(query))
    message = Message.of(json.dumps({"subscribe": {"id": "a", **wanted.model_dump(exclude_defaults=True)}}))
    assert message.wanted == wanted


async def test_the_floor_counts_for_the_last_events_too() -> None:
    ids = await in_database(record_many, 3)
    await in_database(prune, EventType.RUN_PROGRESS, cursor=ids[1])
    start = await in_database(subscribing.start_of, Wanted(replay_last=3), Sight())
    assert await in_database(retention.floor) == ids[1]
    assert (start.after, start.is_resync) == (ids[1], False)


@pytest.mark.parametrize("query", ["after=1_0", "after=%201", "after=+1", "after=1.0", "after=1e3", "nonsense=1"])
async def test_only_whole_numbers_are_numbers(query: str) -> None:
    with pytest.raises(NotUnderstood):
        Wanted.of_query(QueryDict(query))


async def test_a_text_that_is_too_long_is_told_so() -> None:
    with pytest.raises(NotUnderstood, match="trace_id: String should have at most 64 characters"):
        Wanted.of_query(QueryDict("trace_id=" + "x" * 65))


async def test_a_listener_holds_on_to_so_much_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "BATCH_CHARACTERS", 10)
    frames = [Frame(number, "task.created", 1, None, None, "", "x" * 4) for number in range(1, 6)]
    assert [frame.id for frame in subscriptions.fitting(frames)] == [1, 2, 3]
    assert subscriptions.fitting([]) == []


async def test_large_events_are_replayed_in_several_readings(viewer: Headers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "BATCH_CHARACTERS", 10)
    ids = await in_database(record_many, 5)
    async with connected(f"after={ids[0] - 1}", viewer) as stream:
        await frame_of(stream)
        assert await ids_of(stream, 5) == ids
