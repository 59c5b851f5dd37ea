"""The ceiling: `websockets.broadcast` and nothing else. `python -m benchmarks.sockets.ceiling PORT uvloop|asyncio`.

A socket that sends `COUNT TEXT` has the text broadcast so often to all others, and hears `done`. Each is greeted with a word.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

_listeners: set[ServerConnection] = set()


async def handle(connection: ServerConnection) -> None:
    await connection.send("hello")
    _listeners.add(connection)
    try:
        async for message in connection:
            _listeners.discard(connection)
            count, _, text = str(message).partition(" ")
            for number in range(int(count)):
                broadcast(_listeners, text if number == int(count) - 1 else text.replace("LAST", "more"))
                await asyncio.sleep(0)
            await connection.send("done")
    finally:
        _listeners.discard(connection)


async def main(port: int) -> None:
    """Serve for ever, without compression and pings, like the others that are measured."""
    async with serve(handle, "127.0.0.1", port, compression=None, ping_interval=None):
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    run = uvloop.run if sys.argv[2] == "uvloop" else asyncio.run
    run(main(int(sys.argv[1])))
