"""The WebSocket of `bbb load` against a server that is somebody else's code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from websockets.asyncio.server import ServerConnection, serve

from beebeebrain.cli.errors import Unreachable
from beebeebrain.cli.sockets import Listener, listen

Talk = Callable[[ServerConnection], Awaitable[None]]


async def heard(talk: Talk) -> tuple[list[bytes], Listener]:
    """Return what a listener hears of a talk, and the listener when that is over."""
    texts: list[bytes] = []
    over = asyncio.Event()

    async def handle(connection: ServerConnection) -> None:
        await talk(connection)
        await connection.close(1012)
        over.set()

    async with serve(handle, "127.0.0.1", 0, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        listener = await listen(f"ws://127.0.0.1:{port}/x?y=z", {"Authorization": "Bearer t"}, texts.append)
        await asyncio.wait_for(over.wait(), 30)
        await asyncio.wait_for(listener.ended.wait(), 30)
    return texts, listener


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536, 300_000])
async def test_texts_of_every_length_come_whole_and_in_order(length: int) -> None:
    async def talk(connection: ServerConnection) -> None:
        for letter in "abc":
            await connection.send(letter * length)

    texts, _ = await heard(talk)
    assert texts == [letter * length for letter in (b"a", b"b", b"c")]


async def test_a_text_in_pieces_is_put_together() -> None:
    async def talk(connection: ServerConnection) -> None:
        await connection.send(["one ", "two ", "three"])

    assert (await heard(talk))[0] == [b"one two three"]


async def test_a_ping_is_answered_and_a_closing_is_understood() -> None:
    async def talk(connection: ServerConnection) -> None:
        pong = await connection.ping()
        await asyncio.wait_for(pong, 30)

    texts, listener = await heard(talk)
    assert (texts, listener.closed) == ([], 1012)


async def test_a_server_that_refuses_is_told_of() -> None:
    async def handle(connection: ServerConnection) -> None:
        raise AssertionError

    async with serve(handle, "127.0.0.1", 0, process_request=lambda c, _: c.respond(403, "no")) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unreachable, match="403"):
            await listen(f"http://127.0.0.1:{port}/", {}, print)
    with pytest.raises(Unreachable):
        await listen(f"http://127.0.0.1:{port}/", {}, print)
