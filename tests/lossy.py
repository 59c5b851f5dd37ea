"""The web with streams that lose, repeat or swap events: what ours must never do, for tests of what would notice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from beebeebrain.asgi import application as ours

Send = Callable[[Any], Awaitable[None]]
# Of a stream the tenth event, and the eleventh.
AT = 10


def _tampering(spoil: Callable[[Send, list[Any], Any], Awaitable[None]]) -> Any:
    """Return the web, with `spoil` sending each event: it is given all that came before on the same stream."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        events: list[Any] = []

        async def spoilt(message: Any) -> None:
            if '"type":"load.probe"' not in (message.get("text") or ""):
                await send(message)
                return
            events.append(message)
            await spoil(send, events, message)

        await ours(scope, receive, spoilt if scope["type"] == "websocket" else send)

    return application


async def _lose(send: Send, events: list[Any], message: Any) -> None:
    if len(events) != AT:
        await send(message)


async def _repeat(send: Send, events: list[Any], message: Any) -> None:
    await send(message)
    if len(events) == AT:
        await send(events[0])


async def _swap(send: Send, events: list[Any], message: Any) -> None:
    if len(events) == AT + 1:
        await send(message)
        await send(events[AT - 1])
    elif len(events) != AT:
        await send(message)


losing, repeating, swapping = _tampering(_lose), _tampering(_repeat), _tampering(_swap)
