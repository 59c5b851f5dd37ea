"""The stream of events over WebSocket. It relays and takes no commands."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import structlog
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.http import QueryDict

from events import frames, trace
from events.filters import EventFilter
from events.selection import Selection, Sight
from events.subscriptions import Subscription
from events.tail import TAIL, latest
from security.websockets import header, rights_in

log = structlog.get_logger("bbb.events")

HEARTBEAT_S = 15.0
BAD_QUERY = 4400
NOT_LOGGED_IN = 4401
RESYNC = 4409


class Refused(Exception):
    """The stream cannot go on; the client is told why."""

    def __init__(self, close_code: int, code: str, detail: object) -> None:
        super().__init__(code)
        self.close_code = close_code
        self.frame = frames.error(code, detail)


class EventConsumer(AsyncWebsocketConsumer):
    """One connection: a greeting, what was missed, and from then on what happens."""

    # Without a channel layer: nothing that must arrive goes over one, and its absence must not matter.
    channel_layer_alias = "none"

    _streaming: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._end_stream()

    async def connect(self) -> None:
        structlog.contextvars.bind_contextvars(trace_id=trace.accepted(header(self.scope, b"x-trace-id")))
        # A browser learns the reason only of a connection that was accepted.
        await self.accept()
        self._streaming = asyncio.create_task(self._stream_safely())

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Take no notice of what the client says."""

    async def disconnect(self, code: int) -> None:
        await self._end_stream()

    async def _end_stream(self) -> None:
        if self._streaming is not None:
            self._streaming.cancel()
            await asyncio.gather(self._streaming, return_exceptions=True)

    async def _stream_safely(self) -> None:
        try:
            await self._stream()
        except Refused as refused:
            await self.send(text_data=refused.frame)
            await self.close(code=refused.close_code)
        except OSError:
            # The other side has gone; its disconnect follows.
            log.info("event_stream_lost")
        except Exception:
            log.exception("event_stream_failed")
            await self.close(code=1011)

    async def _stream(self) -> None:
        sight = await self._sight()
        selection, after = self._query()
        end = await database_sync_to_async(latest)()
        if after is not None and after > end:
            raise Refused(RESYNC, "resync", "The log does not reach as far as this cursor. Load anew.")
        await self.send(text_data=frames.hello(end))
        subscription = Subscription(TAIL, selection, sight, after=end if after is None else after)
        loop, grown = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(grown.set)

        TAIL.join(wake)
        log.info("event_stream_opened", after=subscription.cursor)
        try:
            await self._relay(subscription, grown)
        finally:
            TAIL.leave(wake)
            log.info("event_stream_closed", cursor=subscription.cursor)

    async def _relay(self, subscription: Subscription, grown: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        beat_at = loop.time() + HEARTBEAT_S
        while True:
            # Before the reading: what comes during it wakes us again.
            grown.clear()
            batch = await subscription.next()
            for text in batch or ():
                await self.send(text_data=text)
            if loop.time() >= beat_at:
                subscription.sight = await self._sight()
                await self.send(text_data=frames.heartbeat(subscription.cursor))
                beat_at = loop.time() + HEARTBEAT_S
            if batch is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(beat_at):
                        await grown.wait()
            else:
                # Let others in between two batches.
                await asyncio.sleep(0)

    async def _sight(self) -> Sight:
        """Return what the other side may see at this moment. Raises Refused."""
        rights = await rights_in(self.scope)
        if rights is None:
            raise Refused(NOT_LOGGED_IN, "not_authenticated", "Log in, with a role, or send an API token.")
        return Sight.of(rights)

    def _query(self) -> tuple[Selection, int | None]:
        query = EventFilter(QueryDict(self.scope["query_string"]))
        if not query.is_valid():
            raise Refused(BAD_QUERY, "bad_query", query.errors.get_json_data())
        return Selection.of(query.form.cleaned_data), query.form.cleaned_data["after"]
