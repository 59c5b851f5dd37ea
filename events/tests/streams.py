"""Connections to the event stream for tests, and what they leave behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from channels.routing import URLRouter
from channels.sessions import SessionMiddlewareStack
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client

from events.routing import websocket_urlpatterns
from security.websockets import OriginGuard

# Reached only when something is broken.
PATIENCE_S = 30.0

routes: list[Any] = list(websocket_urlpatterns)
application: Any = OriginGuard(SessionMiddlewareStack(URLRouter(routes)))

Headers = list[tuple[bytes, bytes]]


@asynccontextmanager
async def connected(
    query: str, headers: Headers, application: Any = application
) -> AsyncIterator[WebsocketCommunicator]:
    """Open a stream; close it afterwards, whatever became of it."""
    communicator = WebsocketCommunicator(application, f"/ws/events/?{query}", headers=headers)
    is_accepted, _ = await communicator.connect(timeout=PATIENCE_S)
    assert is_accepted
    try:
        yield communicator
    finally:
        await communicator.disconnect(timeout=PATIENCE_S)


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
