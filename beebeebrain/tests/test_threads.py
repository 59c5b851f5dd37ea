"""Requests run in threads that stay, with the connections to the database that were opened in them."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import close_old_connections, connection

from beebeebrain import threads
from beebeebrain.threads import KeptThreads

LIMIT_S = 60


class Django:
    """An application that does what Django does: a context for each request, whose code runs in the thread of the context."""

    def __init__(self, *, at_once: int = 1) -> None:
        self.seen: list[int] = []
        self._at_once = at_once
        self._all_there = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async with ThreadSensitiveContext():
            self.seen.append(await sync_to_async(threading.get_ident)())
            if len(self.seen) >= self._at_once:
                self._all_there.set()
            await asyncio.wait_for(self._all_there.wait(), LIMIT_S)
            if scope.get("fails"):
                raise ValueError("it fails")


async def test_one_request_after_the_other_has_the_same_thread() -> None:
    django = Django()
    application = KeptThreads(django)
    for _ in range(3):
        await application({}, None, None)
    assert len(set(django.seen)) == 1


async def test_the_thread_of_a_request_that_failed_is_used_again() -> None:
    django = Django()
    application = KeptThreads(django)
    with pytest.raises(ValueError, match="it fails"):
        await application({"fails": True}, None, None)
    await application({}, None, None)
    assert len(set(django.seen)) == 1


@pytest.mark.parametrize("more", [0, 3])
async def test_requests_at_once_have_a_thread_each(more: int) -> None:
    count = threads.KEPT + more
    django = Django(at_once=count)
    application = KeptThreads(django)
    await asyncio.gather(*(application({}, None, None) for _ in range(count)))
    assert len(set(django.seen)) == count


async def test_the_loop_goes_on_while_a_request_works() -> None:
    loop, begun, end = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def work() -> bool:
        loop.call_soon_threadsafe(begun.set)
        return end.wait(LIMIT_S)

    async def application(_scope: Any, _receive: Any, _send: Any) -> None:
        assert await sync_to_async(work)()

    request = asyncio.ensure_future(KeptThreads(application)({}, None, None))
    await asyncio.wait_for(begun.wait(), LIMIT_S)
    end.set()
    await request


@pytest.mark.django_db(transaction=True)
async def test_the_next_request_finds_the_connection_open() -> None:
    found = []

    def work() -> None:
        connection.ensure_connection()
        found.append(connection.connection)
        # As Django does at the end of each request.
        close_old_connections()

    async def application(scope: Any, _receive: Any, _send: Any) -> None:
        await sync_to_async(scope["work"])()

    def close() -> None:
        # The thread's own: `connection` is another one in each.
        connection.close()

    kept = KeptThreads(application)
    for each in (work, work, close):
        await kept({"work": each}, None, None)
    assert found[0] is found[1]


async def test_the_thread_of_an_answer_in_pieces_is_used_again_before_its_end() -> None:
    seen: list[int] = []
    begun, end = asyncio.Event(), asyncio.Event()

    async def application(scope: Any, _receive: Any, send: Any) -> None:
        seen.append(await sync_to_async(threading.get_ident)())
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        if scope["is_long"]:
            begun.set()
            await end.wait()

    async def send(_message: Any) -> None:
        pass

    kept = KeptThreads(application)
    long = asyncio.ensure_future(kept({"is_long": True}, None, send))
    await asyncio.wait_for(begun.wait(), LIMIT_S)
    await kept({"is_long": False}, None, send)
    end.set()
    await long
    assert len(set(seen)) == 1
    # It was taken back once, not twice.
    assert len(kept._idle) == len(set(kept._idle)) == threads.KEPT
