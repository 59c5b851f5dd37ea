"""Slow clients slow down their own stream instead of filling our memory.

Daphne accepts every frame at once, and Twisted keeps what the client has not read yet. Here sending waits while
Twisted holds more than its 64 KiB. Uvicorn does that by itself.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any

# Nothing tells us that there is room again. A client that reads makes some within moments, others are asked less often.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.001, 1.0
# Clients choose what they are told, no more.
MOST_RECEIVED = 64 * 1024


class Backpressure:
    """Makes `send` of a WebSocket, or of an answer in pieces, wait for a client that does not keep up."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        protocol = _daphne_protocol(send)
        if protocol is not None and scope["type"] == "websocket":
            # Daphne would take a message of any length, and keep it.
            protocol.maxFramePayloadSize = protocol.maxMessagePayloadSize = MOST_RECEIVED

        async def send_and_wait(message: Any) -> None:
            await send(message)
            await _room(protocol)

        await self._application(scope, receive, send if protocol is None else send_and_wait)


async def _room(protocol: Any) -> None:
    wait_s = FIRST_WAIT_S
    while _is_full(protocol):
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def _daphne_protocol(send: Any) -> Any:
    """Return Daphne's side of the connection, None under another server."""
    if isinstance(send, functools.partial) and send.args and hasattr(send.args[0], "transport"):
        return send.args[0]
    return None


def _is_full(protocol: Any) -> bool:
    """Tell whether Twisted has asked for a pause, and the connection is there still."""
    # A request writes by its channel, and to nothing once that is gone.
    channel = getattr(protocol, "channel", protocol)
    transport = getattr(channel, "transport", None)
    return bool(getattr(transport, "producerPaused", False) and getattr(transport, "connected", False))
