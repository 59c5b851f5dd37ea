"""The stream of events over WebSocket. It relays; what the client says only chooses what is relayed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import structlog
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.http import QueryDict

from events import frames, trace
from events.frames import Notice
from events.hub import Watch, hub
from events.relay import BAD_QUERY, NO_RIGHTS, TOO_MANY, Batch, Messages, Refused, Relay
from events.subscribing import NotUnderstood, Wanted, start_of
from security import throttles
from security.websockets import header, identity_in, rights_in

log = structlog.get_logger("bbb.events")

_THROTTLED = (
    TOO_MANY,
    "throttled",
    "More streams were opened than are accepted in a minute. Wait before you try again.",
)
_FLOODED = (TOO_MANY, "too_many_messages", "More messages came than are carried out. Send them more slowly.")


class StreamConsumer(AsyncWebsocketConsumer):
    """One connection that is told something: accepted, watched over, and ended with its reason."""

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

    async def stream(self) -> None:
        """Send what there is to be told, until cancelled. Raises Refused."""
        raise NotImplementedError

    @contextlib.asynccontextmanager
    async def watched(self, woken: asyncio.Event) -> AsyncIterator[Watch]:
        """Give the watch over what the other side may see; the event is set when that changes. Raises Refused."""
        identity = identity_in(self.scope)
        if not identity:
            raise Refused(*NO_RIGHTS)
        if not await database_sync_to_async(throttles.may_open_stream)(identity):
            raise Refused(*_THROTTLED)
        async with hub().watching(identity, lambda: rights_in(self.scope), woken) as watch:
            yield watch

    async def tell(self, text: str) -> None:
        """Send a frame; returns when there is room for the next one."""
        # Not by `send`, which looks at each message once more.
        message: Any = {"type": "websocket.send", "text": text}
        await self.base_send(message)

    async def end(self, refused: Refused) -> None:
        """Tell why the stream ends, and end it."""
        await self.tell(refused.notice.text)
        await self.close(code=refused.close_code)

    async def _end_stream(self) -> None:
        if self._streaming is not None:
            self._streaming.cancel()
            await asyncio.gather(self._streaming, return_exceptions=True)

    async def _stream_safely(self) -> None:
        try:
            await self.stream()
        except Refused as refused:
            await self.end(refused)
        except OSError:
            # The other side has gone; its disconnect follows.
            log.info("event_stream_lost")
        except Exception:
            log.exception("event_stream_failed")
            await self.close(code=1011)


class EventConsumer(StreamConsumer):
    """The event log: a greeting, what was missed, and from then on what happens, for each subscription."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._messages = Messages()
        self._is_flooded = False

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not self._is_flooded and not self._messages.add(text_data):
            self._is_flooded = True
            await self._end_stream()
            await self.end(Refused(*_FLOODED))

    async def stream(self) -> None:
        woken = self._messages.woken
        async with self.watched(woken) as watch:
            first = self._first()
            relay = Relay(hub(), watch, database_sync_to_async(start_of), self._messages)
            with hub().listening(woken):
                log.info("event_stream_opened")
                try:
                    await self._send_all(relay, first)
                finally:
                    log.info("event_stream_closed", cursor=relay.cursor)

    async def _send_all(self, relay: Relay, first: Wanted | None) -> None:
        async with contextlib.aclosing(relay.output(first)) as output:
            async for told in output:
                if isinstance(told, Notice):
                    await self.tell(told.text)
                else:
                    await self._send_events(told)

    async def _send_events(self, batch: Batch) -> None:
        label = frames.label_of(batch.sub) if batch.sub else ""
        for frame in batch.events:
            await self.tell(frame.labelled(label) if label else frame.text)

    def _first(self) -> Wanted | None:
        """Return the subscription that the address asks for; None where the client says that it will send its own."""
        query = QueryDict(self.scope["query_string"], mutable=True)
        if query.getlist("subscribe") == ["later"]:
            del query["subscribe"]
            if not query:
                return None
        try:
            return Wanted.of_query(query)
        except NotUnderstood as why:
            raise Refused(BAD_QUERY, "bad_query", str(why)) from None
