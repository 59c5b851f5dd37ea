"""The stream of events as Server-Sent Events: the frames of the WebSocket, for whoever can read HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Self

import structlog
from asgiref.sync import sync_to_async
from django.db import connections
from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from api.queries import BadQuery, refuse_unknown
from api.renderers import JSONRenderer
from events.frames import Notice
from events.hub import hub
from events.relay import Batch, Messages, Refused, Relay
from events.selection import Sight
from events.states import EventType
from events.subscribing import MOST_REPLAYED, PREFIXES, SEVERAL, NotUnderstood, Start, Wanted, start_of
from security.access import rights_of
from security.identity import token_of
from security.websockets import Scope, identity_in, rights_in

log = structlog.get_logger("bbb.events")

MEDIA_TYPE = "text/event-stream"
# After how long a browser whose connection was lost comes again.
RETRY_MS = 2000
HEADERS = {
    "Cache-Control": "no-cache",
    # nginx passes each piece on at once.
    "X-Accel-Buffering": "no",
}
_LAST_ID = "Last-Event-ID"


class StreamRenderer(BaseRenderer):
    """Says that the view can answer with a stream. It renders nothing: a stream is none of REST framework's answers."""

    media_type = MEDIA_TYPE
    format = "stream"


def _parameter(name: str, description: str, *, least: int = 1, most: int | None = None, many: bool = False) -> Any:
    schema = {"type": "integer", "minimum": least, **({"maximum": most} if most else {})}
    return OpenApiParameter(
        name,
        {"type": "array", "items": schema} if many else schema,
        description=description,
    )


_PARAMETERS = [
    _parameter("after", "Begin behind this cursor; without it, with what happens from now on.", least=0),
    _parameter("replay_last", "Begin with so many that have happened already.", least=0, most=MOST_REPLAYED),
    _parameter("project", "Only events of these projects.", many=True),
    _parameter("task", "Only events of these tasks.", many=True),
    _parameter("run", "Only events of these runs.", many=True),
    OpenApiParameter(
        "type",
        {"type": "array", "items": {"type": "string", "enum": [*EventType.values, *sorted(PREFIXES)]}},
        description="Only these types; `task.` stands for all that begin so.",
    ),
    OpenApiParameter("trace_id", {"type": "string", "maxLength": 64}, description="Only what belongs to this trace."),
    OpenApiParameter(
        _LAST_ID,
        {"type": "integer", "minimum": 0},
        OpenApiParameter.HEADER,
        description="The id of the last event that was read. Browsers send it when they come again; it counts more than the query.",
    ),
]


_EXAMPLE = """retry: 2000
id: 41

data: {"type":"hello","cursor":41,"heartbeat_s":15.0}

id: 42
data: {"type":"event","id":42,"event":{"id":42,"type":"task.status.changed","task_id":7}}

: {"type":"heartbeat","cursor":42}

"""


class StreamView(APIView):
    """What happens, as it happens."""

    http_method_names = ("get", "head")
    renderer_classes = (StreamRenderer, JSONRenderer)

    @extend_schema(
        tags=["events"],
        operation_id="events_stream",
        summary="What happens, as it happens",
        parameters=_PARAMETERS,
        responses={(200, MEDIA_TYPE): OpenApiTypes.STR},
        examples=[OpenApiExample("Answer", value=_EXAMPLE, media_type=MEDIA_TYPE, response_only=True)],
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Server-Sent Events, without an end. Each message is a frame of `/ws/events/`; only events have an id.

        An `id` without a message comes first: from there a browser goes on whose connection is lost before an event has come.
        """
        wanted = _wanted(request)
        start = start_of(wanted, Sight.of(rights_of(request.user, token_of(request))))
        chunks = Chunks(_chunks(_scope(request), wanted, start))
        return StreamingHttpResponse(chunks, content_type=MEDIA_TYPE, headers=HEADERS)

    def head(self, request: Request) -> HttpResponse:
        """Answer without a stream, which would not end."""
        _wanted(request)
        return HttpResponse(content_type=MEDIA_TYPE, headers=HEADERS)


class Chunks:
    """The pieces of an answer. Closing it with the answer lets go of all that stands behind them.

    A generator alone would be left to the garbage collector when the client goes away while a piece is being sent.
    """

    def __init__(self, generator: AsyncGenerator[bytes, None]) -> None:
        self._generator = generator
        self._loop: asyncio.AbstractEventLoop | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        self._loop = asyncio.get_running_loop()
        return await anext(self._generator)

    def close(self) -> None:
        """Have the loop end the generator. Called by Django, in a thread."""
        if self._loop is not None and not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._generator.aclose(), self._loop)


def _wanted(request: Request) -> Wanted:
    """Return what a request asks for. Raises BadQuery."""
    refuse_unknown(request, Wanted.model_fields, repeatable=SEVERAL, texts={"trace_id"})
    last = request.headers.get(_LAST_ID)
    query = request.query_params.copy()
    if last:
        query.pop("replay_last", None)
        query["after"] = last
    try:
        return Wanted.of_query(query)
    except NotUnderstood as why:
        raise BadQuery(why.field.split(".")[0] or api_settings.NON_FIELD_ERRORS_KEY, why.detail, why.code) from None


def _scope(request: Request) -> Scope:
    """Return of a request what tells who sent it, as the handshake of a WebSocket does."""
    told: Mapping[str, Any] = request.META
    names = {b"authorization": "HTTP_AUTHORIZATION", b"x-forwarded-for": "HTTP_X_FORWARDED_FOR"}
    headers = [(name, told[key].encode("latin-1")) for name, key in names.items() if key in told]
    return {"headers": headers, "client": [told.get("REMOTE_ADDR", "")], "session": request._request.session}


async def _chunks(scope: Scope, wanted: Wanted, start: Start) -> AsyncGenerator[bytes, None]:
    # A stream may last for days: what the request asked in its thread is asked, and the connection not needed any more.
    await sync_to_async(connections.close_all)()
    yield _opening(start)

    async def known(_wanted: Wanted, _sight: Sight) -> Start:
        return start

    messages = Messages()
    try:
        async with hub().watching(identity_in(scope), lambda: rights_in(scope), messages.woken) as watch:
            with hub().listening(messages.woken):
                relay = Relay(hub(), watch, known, messages)
                log.info("event_stream_opened")
                try:
                    async with contextlib.aclosing(relay.output(wanted)) as output:
                        async for told in output:
                            if chunk := _chunk(told):
                                yield chunk
                finally:
                    log.info("event_stream_closed", cursor=relay.cursor)
    except Refused as refused:
        yield _chunk(refused.notice)


def _opening(start: Start) -> bytes:
    """Return what is no message yet: when a browser comes again, and from where if nothing has come until then.

    A cursor that the log does not reach back to is left to the browser: it shall hear of that again.
    """
    place = "" if start.is_resync else f"id: {start.after}\n"
    return f"retry: {RETRY_MS}\n{place}\n".encode()


def _chunk(told: Notice | Batch) -> bytes:
    if isinstance(told, Batch):
        return "".join(f"id: {frame.id}\ndata: {frame.text}\n\n" for frame in told.events).encode()
    # A comment keeps the connection open and is nobody's message.
    return f"{':' if told.type == 'heartbeat' else 'data:'} {told.text}\n\n".encode()
