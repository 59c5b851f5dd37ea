"""Rights that change while streams are open: they are told at once, long before the next heartbeat, and asked for together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.auth.models import User

from events import hub, tail
from events.tests.factories import record
from events.tests.streams import (
    PATIENCE_S,
    Headers,
    connected,
    frame_of,
    ids_of,
    in_database,
    session_headers,
    token_headers,
)
from security import websockets
from security.accounts import update_user
from security.roles import Role
from security.services import limit_access, revoke_token
from security.tests.factories import ACTOR, make_token, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("settled")]


@pytest.fixture
def no_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is noticed is noticed for another reason."""
    monkeypatch.setattr(hub, "HEARTBEAT_S", 3600.0)


@pytest.mark.usefixtures("no_heartbeat")
async def test_a_revoked_token_ends_the_stream_at_once() -> None:
    token, text = await in_database(lambda: make_token(make_user(Role.VIEWER)))
    async with connected("type=task.", token_headers(text)) as stream:
        await frame_of(stream)
        await in_database(lambda: revoke_token(token, actor=ACTOR))
        assert (await frame_of(stream))["code"] == "not_authenticated"


@pytest.mark.usefixtures("no_heartbeat")
async def test_a_user_who_is_deactivated_loses_the_stream_at_once() -> None:
    user: User = await in_database(make_user, Role.VIEWER)
    async with connected("", await in_database(session_headers, user)) as stream:
        await frame_of(stream)
        await in_database(lambda: update_user(user, actor=ACTOR, is_active=False))
        assert (await frame_of(stream))["code"] == "not_authenticated"


@pytest.mark.usefixtures("no_heartbeat")
async def test_a_project_that_is_taken_away_is_silent_at_once() -> None:
    user: User = await in_database(make_user, Role.VIEWER)
    async with connected("", await in_database(session_headers, user)) as stream:
        await frame_of(stream)
        changed = asyncio.Event()
        for watch in hub.hub()._watches.values():
            watch.listeners.add(changed)
        await in_database(lambda: limit_access(user, project_ids=[1], actor=ACTOR))
        async with asyncio.timeout(PATIENCE_S):
            await changed.wait()
        watch.listeners.discard(changed)
        await in_database(record, project_id=2)
        inside = await in_database(record, project_id=1)
        assert await ids_of(stream, 1) == [inside.id]


async def test_many_streams_of_one_identity_ask_together(viewer: Headers, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def rights_in(scope: Any) -> Any:
        asked.append(1)
        return await websockets.rights_in(scope)

    monkeypatch.setattr("events.consumers.rights_in", rights_in)

    async def open_one() -> None:
        async with connected("", viewer) as stream:
            await frame_of(stream)

    await asyncio.gather(*(open_one() for _ in range(20)))
    assert len(asked) < 20


@pytest.mark.usefixtures("no_heartbeat")
async def test_rights_that_change_before_the_first_reading_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    token, text = await in_database(lambda: make_token(make_user(Role.VIEWER)))
    latest = tail.latest

    def revoke_and_look() -> int:
        # The rights were asked before; of what happened until now, nothing comes over the ring.
        revoke_token(token, actor=ACTOR)
        return latest()

    monkeypatch.setattr(tail, "latest", revoke_and_look)
    async with connected("", token_headers(text)) as stream:
        await frame_of(stream)
        assert (await frame_of(stream))["code"] == "not_authenticated"
