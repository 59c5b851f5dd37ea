from __future__ import annotations

import asyncio
import random
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.utils import timezone

from events import hub, subscriptions, tail
from events.models import Event
from events.relay import BAD_QUERY, NOT_LOGGED_IN
from events.services import append, unit_of_work
from events.states import EventType
from events.tests.factories import record
from events.tests.streams import (
    PATIENCE_S,
    Headers,
    application,
    close_code_of,
    connected,
    frame_of,
    ids_of,
    in_database,
    session_headers,
    settle,
    token_headers,
)
from security.roles import Role
from security.services import limit_access, revoke_token
from security.tests.factories import ACTOR, make_token, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("settled")]


def record_many(count: int) -> list[int]:
    return [record(task_id=number).id for number in range(1, count + 1)]


async def refusal(query: str, headers: Headers) -> tuple[str, int]:
    async with connected(query, headers) as stream:
        frame = await frame_of(stream)
        assert frame["type"] == "error"
        return frame["code"], await close_code_of(stream)


async def is_accepted(headers: Headers) -> bool:
    communicator = WebsocketCommunicator(application, "/ws/events/", headers=headers)
    accepted, _ = await communicator.connect(timeout=PATIENCE_S)
    await communicator.disconnect(timeout=PATIENCE_S)
    return bool(accepted)


@pytest.mark.parametrize(("query", "place"), [("", 2), ("after={}", 0), ("replay_last=2", 0), ("subscribe=later", 2)])
async def test_the_first_frame_says_where_the_stream_begins(viewer: Headers, query: str, place: int) -> None:
    # Who takes the cursor of each frame for how far it is misses nothing, if the connection is lost behind the first.
    ids = await in_database(record_many, 3)
    async with connected(query.format(ids[0]), viewer) as stream:
        assert await frame_of(stream) == {"type": "hello", "cursor": ids[place], "heartbeat_s": hub.HEARTBEAT_S}


async def test_an_event_arrives_as_the_api_shows_it(viewer: Headers) -> None:
    async with connected("", viewer) as stream:
        await frame_of(stream)
        event = await in_database(record, task_id=7)
        assert await frame_of(stream) == {"type": "event", "id": event.id, "event": event.frame()}


async def test_without_a_cursor_only_what_happens_from_now_on_arrives(viewer: Headers) -> None:
    await in_database(record_many, 3)
    async with connected("", viewer) as stream:
        await frame_of(stream)
        later = await in_database(record_many, 2)
        assert await ids_of(stream, 2) == later


async def test_replay_and_live_meet_without_gap_or_double(viewer: Headers) -> None:
    before = await in_database(record_many, 5)
    async with connected(f"after={before[1]}", viewer) as stream:
        later = await in_database(record_many, 5)
        assert (await frame_of(stream))["type"] == "hello"
        assert await ids_of(stream, 8) == before[2:] + later


async def test_a_client_that_was_away_catches_up_from_its_cursor(viewer: Headers) -> None:
    async with connected("", viewer) as stream:
        cursor = (await frame_of(stream))["cursor"]
    missed = await in_database(record_many, 4)
    async with connected(f"after={cursor}", viewer) as stream:
        await frame_of(stream)
        assert await ids_of(stream, 4) == missed


async def test_who_falls_behind_the_ring_misses_nothing(viewer: Headers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "RING_SIZE", 2)
    monkeypatch.setattr(subscriptions, "BATCH", 3)
    async with connected("after=0", viewer) as stream:
        await frame_of(stream)
        ids = await in_database(record_many, 20)
        assert await ids_of(stream, 20) == ids


async def test_a_filter_holds_for_replay_and_live(viewer: Headers) -> None:
    wanted = [(await in_database(record, task_id=7)).id]
    await in_database(record, task_id=8)
    await in_database(record, EventType.TASK_DELETED, task_id=7, id=1)
    async with connected("after=0&task=7&type=task.created", viewer) as stream:
        await frame_of(stream)
        await in_database(record, task_id=8)
        wanted.append((await in_database(record, task_id=7)).id)
        assert await ids_of(stream, 2) == wanted


async def test_a_number_that_fits_in_no_64_bits_arrives_and_holds_up_nothing(viewer: Headers) -> None:
    details: dict[str, Any] = {"kind": "x", "message": "", "details": {"number": 2**70}}
    large = await in_database(lambda: record(EventType.ALERT_RAISED, **details))
    async with connected(f"after={large.id - 1}", viewer) as stream:
        await frame_of(stream)
        live = await in_database(lambda: record(EventType.ALERT_RAISED, **details))
        told = [await frame_of(stream) for _ in range(2)]
        assert [frame["event"] for frame in told] == [large.frame(), live.frame()]
        assert told[0]["event"]["payload"]["details"] == {"number": 2**70}


async def test_several_streams_hear_the_same(viewer: Headers) -> None:
    async with connected("", viewer) as one, connected("", viewer) as two:
        await frame_of(one), await frame_of(two)
        ids = await in_database(record_many, 3)
        assert await ids_of(one, 3) == await ids_of(two, 3) == ids


async def test_one_thread_reads_for_all_and_ends_with_the_last(viewer: Headers) -> None:
    def tails() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "event-tail"]

    async with connected("", viewer) as one, connected("", viewer) as two:
        await frame_of(one), await frame_of(two)
        await in_database(record_many, 1)
        await ids_of(one, 1), await ids_of(two, 1)
        assert len(tails()) == 1
    await settle()
    assert tails() == []


async def test_a_quiet_stream_beats(viewer: Headers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HEARTBEAT_S", 0.05)
    async with connected("", viewer) as stream:
        cursor = (await frame_of(stream))["cursor"]
        for _ in range(2):
            assert await stream.receive_json_from(PATIENCE_S) == {"type": "heartbeat", "cursor": cursor}


async def test_a_heartbeat_goes_on_with_what_the_filter_left_out(
    viewer: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "HEARTBEAT_S", 0.05)
    async with connected("task=7", viewer) as stream:
        await frame_of(stream)
        event = await in_database(record, task_id=8)
        async with asyncio.timeout(PATIENCE_S):
            while (await stream.receive_json_from(PATIENCE_S))["cursor"] < event.id:
                pass


@pytest.mark.parametrize("query", ["after=x", "after=-1", f"after={2**63}", "project=x", "type=nonsense", "run=0"])
async def test_a_query_that_means_nothing_is_refused(viewer: Headers, query: str) -> None:
    assert await refusal(query, viewer) == ("bad_query", BAD_QUERY)


async def test_a_cursor_beyond_the_log_is_told_to_load_anew_and_goes_on_from_its_end(viewer: Headers) -> None:
    event = await in_database(record)
    async with connected(f"after={event.id + 1}", viewer) as stream:
        await frame_of(stream)
        told = await frame_of(stream)
        assert (told["type"], told["cursor"]) == ("resync", event.id)
        later = await in_database(record)
        assert await ids_of(stream, 1) == [later.id]


async def test_a_stranger_is_refused() -> None:
    assert await refusal("", session_headers(None)) == ("not_authenticated", NOT_LOGGED_IN)


async def test_a_made_up_session_is_refused() -> None:
    headers = [(b"origin", b"http://localhost"), (b"cookie", b"sessionid=made-up")]
    assert await refusal("", headers) == ("not_authenticated", NOT_LOGGED_IN)


async def test_a_user_without_a_role_is_refused() -> None:
    headers = await in_database(lambda: session_headers(make_user()))
    assert await refusal("", headers) == ("not_authenticated", NOT_LOGGED_IN)


async def test_a_stranger_learns_nothing_of_the_log() -> None:
    await in_database(record)
    async with connected("after=0", session_headers(None)) as stream:
        assert (await frame_of(stream))["type"] == "error"
        assert (await stream.receive_output(PATIENCE_S))["type"] == "websocket.close"
        assert await stream.receive_nothing()


async def test_a_page_from_elsewhere_is_refused() -> None:
    headers = await in_database(lambda: session_headers(make_user(Role.ADMIN), origin="http://evil.example.org"))
    assert not await is_accepted(headers)


async def test_a_session_without_an_origin_is_refused(viewer: Headers) -> None:
    assert not await is_accepted([(name, value) for name, value in viewer if name != b"origin"])


async def test_a_token_opens_a_stream() -> None:
    _, text = await in_database(lambda: make_token(make_user(Role.VIEWER), scope="read"))
    async with connected("", token_headers(text)) as stream:
        assert (await frame_of(stream))["type"] == "hello"


async def test_an_unknown_token_is_refused() -> None:
    assert await refusal("", token_headers("bbb_" + "x" * 43)) == ("not_authenticated", NOT_LOGGED_IN)


async def test_an_expired_token_is_refused() -> None:
    past = timezone.now() - timedelta(days=1)
    _, text = await in_database(lambda: make_token(make_user(Role.VIEWER), expires_at=past))
    assert await refusal("", token_headers(text)) == ("not_authenticated", NOT_LOGGED_IN)


async def test_a_session_does_not_mend_a_bad_token(viewer: Headers) -> None:
    headers = [*viewer, (b"authorization", b"Bearer bbb_nonsense")]
    assert await refusal("", headers) == ("not_authenticated", NOT_LOGGED_IN)


async def test_a_password_that_a_proxy_has_asked_for_is_not_ours(viewer: Headers) -> None:
    async with connected("", [*viewer, (b"authorization", b"Basic YWRhOng=")]) as stream:
        assert (await frame_of(stream))["type"] == "hello"
    assert not await is_accepted([(b"host", b"localhost"), (b"authorization", b"Basic YWRhOng=")])


async def test_logging_out_ends_the_stream(viewer: Headers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HEARTBEAT_S", 0.05)
    async with connected("", viewer) as stream:
        await frame_of(stream)
        await in_database(lambda: Session.objects.all().delete())
        assert (await frame_of(stream))["code"] == "not_authenticated"
        assert await close_code_of(stream) == NOT_LOGGED_IN


async def test_revoking_the_token_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HEARTBEAT_S", 0.05)
    token, text = await in_database(lambda: make_token(make_user(Role.VIEWER)))
    async with connected("type=task.", token_headers(text)) as stream:
        await frame_of(stream)
        await in_database(lambda: revoke_token(token, actor=ACTOR))
        assert (await frame_of(stream))["code"] == "not_authenticated"
        assert await close_code_of(stream) == NOT_LOGGED_IN


async def test_a_limited_listener_hears_of_their_projects_only() -> None:
    def limited() -> Headers:
        user = make_user(Role.VIEWER)
        limit_access(user, project_ids=[1], actor=ACTOR)
        return session_headers(user)

    headers = await in_database(limited)
    replayed = [(await in_database(record, project_id=project)).id for project in (1, 2, None)]
    async with connected("after=0", headers) as stream:
        await frame_of(stream)
        live = [(await in_database(record, project_id=project)).id for project in (2, None, 1)]
        assert await ids_of(stream, 2) == [replayed[0], live[2]]


async def test_the_limit_of_a_token_holds_as_well() -> None:
    _, text = await in_database(lambda: make_token(make_user(Role.VIEWER), project_ids=[1]))
    async with connected("", token_headers(text)) as stream:
        await frame_of(stream)
        ids = [(await in_database(record, project_id=project)).id for project in (2, None, 1)]
        assert await ids_of(stream, 1) == ids[2:]


async def test_asking_for_a_project_outside_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HEARTBEAT_S", 0.05)
    _, text = await in_database(lambda: make_token(make_user(Role.VIEWER), project_ids=[1]))
    async with connected("after=0&project=2", token_headers(text)) as stream:
        await frame_of(stream)
        outside = await in_database(record, project_id=2)
        async with asyncio.timeout(PATIENCE_S):
            while (told := await stream.receive_json_from(PATIENCE_S))["cursor"] < outside.id:
                assert told["type"] == "heartbeat"


async def both_are_told(stream: WebsocketCommunicator) -> bool:
    """Have something happen in two projects; tell whether the stream tells of both, or of the second alone."""
    outside = await in_database(record, project_id=2)
    inside = await in_database(record, project_id=1)
    [told] = await ids_of(stream, 1)
    if told == outside.id:
        [told] = await ids_of(stream, 1)
        assert told == inside.id
        return True
    assert told == inside.id
    return False


async def test_a_limit_set_meanwhile_holds_from_the_next_heartbeat_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HEARTBEAT_S", 0.05)
    user = await in_database(make_user, Role.VIEWER)
    async with connected("type=task.", await in_database(session_headers, user)) as stream:
        await frame_of(stream)
        before = await in_database(record, project_id=2)
        assert await ids_of(stream, 1) == [before.id]
        await in_database(lambda: limit_access(user, project_ids=[1], actor=ACTOR))
        async with asyncio.timeout(PATIENCE_S):
            while await both_are_told(stream):
                pass
        assert not await both_are_told(stream)


@pytest.mark.parametrize(("role", "is_told"), [(Role.OPERATOR, False), (Role.ADMIN, True)])
async def test_what_the_guards_recorded_is_told_to_admins(role: Role, is_told: bool) -> None:
    headers = await in_database(lambda: session_headers(make_user(role)))
    async with connected("", headers) as stream:
        await frame_of(stream)
        audit: dict[str, Any] = {"action": "login", "resource": "x", "outcome": "denied"}
        guarded = await in_database(lambda: record(EventType.SECURITY_AUDIT_ACCESS, project_id=None, **audit))
        other = await in_database(record)
        assert await ids_of(stream, 1 + is_told) == [*([guarded.id] if is_told else []), other.id]


async def test_losing_the_role_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HEARTBEAT_S", 0.05)
    user = await in_database(make_user, Role.VIEWER)
    async with connected("", await in_database(session_headers, user)) as stream:
        await frame_of(stream)
        await in_database(user.groups.clear)
        assert (await frame_of(stream))["code"] == "not_authenticated"
        assert await close_code_of(stream) == NOT_LOGGED_IN


class Writer(threading.Thread):
    """Commits and rolls back units of work at random, and remembers what it committed."""

    def __init__(self, number: int) -> None:
        super().__init__(name=f"writer-{number}")
        self._random = random.Random(number)
        self._number = number
        self.committed: list[tuple[int, int]] = []

    def run(self) -> None:
        try:
            for step in range(20):
                self._write(step)
        finally:
            connection.close()

    def _write(self, step: int) -> None:
        count = self._random.randint(1, 3)
        with transaction.atomic():
            with unit_of_work():
                for version in range(count):
                    append(EventType.TASK_CREATED, project_id=self._number, actor=ACTOR, id=step, version=version)
            # The ids are taken, the commit is yet to come: here others may overtake.
            time.sleep(self._random.random() / 300)
            is_rolled_back = self._random.random() < 0.3
            transaction.set_rollback(is_rolled_back)
        if not is_rolled_back:
            self.committed += [(step, version) for version in range(count)]


async def test_eight_writers_with_rollbacks_are_delivered_as_committed(viewer: Headers) -> None:
    writers = [Writer(number) for number in range(1, 9)]
    async with connected("", viewer) as stream:
        await frame_of(stream)
        for writer in writers:
            writer.start()
        for writer in writers:
            await asyncio.to_thread(writer.join)
        total = sum(len(writer.committed) for writer in writers)
        frames = [await frame_of(stream) for _ in range(total)]
        ids = [frame["id"] for frame in frames]
        assert ids == await in_database(lambda: list(Event.objects.order_by("id").values_list("id", flat=True)))
        last = await in_database(record)
        assert await ids_of(stream, 1) == [last.id]
    for writer in writers:
        payloads = [frame["event"]["payload"] for frame in frames if frame["event"]["project_id"] == writer._number]
        assert [(payload["id"], payload["version"]) for payload in payloads] == writer.committed
