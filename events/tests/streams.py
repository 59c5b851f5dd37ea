"""Connections to the event stream for tests, and what they leave behind."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.db import connections
from django.test import AsyncClient, Client

from events.routing import websocket_urlpatterns
from events.stream import RETRY_MS
from security.websockets import OriginGuard, SessionScope

# Reached only when something is broken.
PATIENCE_S = 30.0

routes: list[Any] = list(websocket_urlpatterns)
application: Any = OriginGuard(SessionScope(URLRouter(routes)))

Headers = list[tuple[bytes, bytes]]
SSE = "/api/v1/events/stream"


@asynccontextmanager
async def connected(
    query: str, headers: Headers, application: Any = application, path: str = "/ws/events/"
) -> AsyncIterator[WebsocketCommunicator]:
    """Open a stream; close it afterwards, whatever became of it."""
    communicator = WebsocketCommunicator(application, f"{path}?{query}", headers=headers)
    is_accepted, _ = await communicator.connect(timeout=PATIENCE_S)
    assert is_accepted
    try:
        yield communicator
    finally:
        await communicator.disconnect(timeout=PATIENCE_S)


class Stream:
    """What comes over a stream, message by message."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self._chunks = aiter(response.streaming_content)
        self._text = ""
        self.opening: dict[str, str] = {}

    async def message(self) -> dict[str, str]:
        """Return the fields of the next message; a comment is a field without a name."""
        async with asyncio.timeout(PATIENCE_S):
            while "\n\n" not in self._text:
                self._text += (await anext(self._chunks)).decode()
        text, _, self._text = self._text.partition("\n\n")
        # A comment has nothing before its colon.
        return {name.rstrip(":"): value for name, _, value in (line.partition(" ") for line in text.splitlines())}

    async def any_frame(self) -> dict[str, Any]:
        """Return the next frame, a heartbeat perhaps."""
        told = await self.message()
        frame: dict[str, Any] = json.loads(told.get("data") or told[""])
        return frame

    async def frame(self) -> dict[str, Any]:
        """Return the next frame that is no heartbeat, with the id that its message has."""
        while "data" not in (told := await self.message()):
            pass
        return {**json.loads(told["data"]), "last_event_id": told.get("id")}

    async def ids(self, count: int) -> list[int]:
        return [(await self.frame())["id"] for _ in range(count)]

    async def leave(self) -> None:
        """Go away, as Django lets a stream know: what waits for the next piece is cancelled."""
        with suppress(asyncio.CancelledError, StopAsyncIteration):
            while True:
                waiting = asyncio.ensure_future(anext(self._chunks))
                await asyncio.sleep(0)
                waiting.cancel()
                await waiting

    async def is_over(self) -> bool:
        async with asyncio.timeout(PATIENCE_S):
            return [chunk async for chunk in self._chunks] == []


@asynccontextmanager
async def streaming(token: str, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    """Open a stream that has said hello; close it afterwards."""
    response: Any = await AsyncClient().get(f"{SSE}?{query}", headers={"Authorization": f"Bearer {token}", **headers})
    assert response.status_code == 200, response.content
    stream = Stream(response)
    stream.opening = await stream.message()
    assert stream.opening["retry"] == str(RETRY_MS)
    assert (await stream.frame())["type"] == "hello"
    try:
        yield stream
    finally:
        await stream.leave()


async def frame_of(communicator: WebsocketCommunicator) -> dict[str, Any]:
    """Return the next frame that is no heartbeat."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            frame: dict[str, Any] = await communicator.receive_json_from(timeout=PATIENCE_S)
            if frame["type"] != "heartbeat":
                return frame


async def ids_of(communicator: WebsocketCommunicator, count: int) -> list[int]:
    """Return the ids of the next events."""
    return [(await frame_of(communicator))["id"] for _ in range(count)]


async def close_code_of(communicator: WebsocketCommunicator) -> int:
    """Return the code the server closes with, next."""
    message = await communicator.receive_output(PATIENCE_S)
    assert message["type"] == "websocket.close", message
    return int(message["code"])


def session_headers(user: User | None, *, origin: str = "http://localhost") -> Headers:
    """Return the headers of a browser in which the user has logged in."""
    client = Client()
    if user is not None:
        client.force_login(user)
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    return [(b"origin", origin.encode()), (b"host", b"localhost"), (b"cookie", cookie.encode())]


def token_headers(text: str) -> Headers:
    """Return the headers of a program."""
    return [(b"host", b"localhost"), (b"authorization", f"Bearer {text}".encode())]


async def in_database(work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run synchronous code of the test in the thread that owns the database connection."""
    return await database_sync_to_async(work)(*args, **kwargs)


async def settle() -> None:
    """Wait for the tail to end, and close the connection of the thread that served the consumers."""
    for thread in threading.enumerate():
        if thread.name == "event-tail":
            await sync_to_async(thread.join, thread_sensitive=False)(PATIENCE_S)
            assert not thread.is_alive()
    await sync_to_async(connections.close_all)()
