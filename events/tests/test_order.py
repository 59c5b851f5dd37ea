"""What is delivered is what was committed, in its order, once each, whatever writers and clients do.

Eight writers commit and roll back at random, and wait between taking ids and committing, where others may overtake. Clients come and go,
over WebSocket and SSE, each time from their cursor. The seed is in the name of the test.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any

import pytest
from django.db import connection, transaction

from events import hub, subscriptions, tail
from events.models import Event
from events.services import append, unit_of_work
from events.states import EventType
from events.tests.streams import PATIENCE_S, connected, in_database, streaming, token_headers
from security.roles import Role
from security.tests.factories import ACTOR, make_token, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("settled")]

WRITERS, STEPS = 8, 20
Next = Callable[[], Awaitable[dict[str, Any]]]


class Writer(threading.Thread):
    """Commits and rolls back units of work at random, and remembers what it committed."""

    def __init__(self, number: int, seed: int, *, has_lock: bool = True) -> None:
        super().__init__(name=f"writer-{number}")
        self._random = random.Random(f"{seed}/{number}")
        self._has_lock = has_lock
        self.number = number
        self.committed: list[tuple[int, int]] = []

    def run(self) -> None:
        try:
            with nullcontext() if self._has_lock else without_the_lock():
                for step in range(1, STEPS + 1):
                    self._write(step)
        finally:
            connection.close()

    def _write(self, step: int) -> None:
        count = self._random.randint(1, 3)
        with transaction.atomic():
            with unit_of_work():
                for seq in range(count):
                    ids = {"project_id": self.number, "task_id": step}
                    # Of a type outside the audit chain, whose uniqueness would be a lock of its own.
                    append(EventType.RUN_PROGRESS, **ids, actor=ACTOR, epoch=step, seq=seq, kind="text", text="")  # type: ignore[arg-type]
            time.sleep(self._random.random() / 200)
            is_rolled_back = self._random.random() < 0.3
            transaction.set_rollback(is_rolled_back)
        if not is_rolled_back:
            self.committed += [(step, seq) for seq in range(count)]


@contextmanager
def without_the_lock() -> Iterator[None]:
    """Have this thread write as if there were no order to keep: `id > cursor` is then the naive tail."""

    def execute(run: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        if "pg_advisory_xact_lock" in sql:
            sql, parameters = "SELECT 1", None
        return run(sql, parameters, many, context)

    with connection.execute_wrapper(execute):
        yield


class Reader:
    """A client that loses its connection now and then and comes again from its cursor."""

    def __init__(self, token: str, seed: str, *, is_sse: bool = False, project: int | None = None) -> None:
        self._random = random.Random(seed)
        self._open = self._sse if is_sse else self._websocket
        self._token = token
        self._filter = f"&project={project}" if project else ""
        self.events: list[dict[str, Any]] = []
        self.cursor = 0

    async def read(self, *, is_steady: bool = False) -> None:
        """Read until `end` has been reached, over as many connections as it takes."""
        while not self._has_ended():
            async with self._open() as next_frame:
                for _ in range(10**9 if is_steady else self._random.randint(1, 40)):
                    self._take(await next_frame())
                    if self._has_ended():
                        return

    end: int | None = None
    """The last event, once the writers are done."""

    def _has_ended(self) -> bool:
        return self.end is not None and self.cursor >= self.end

    def _take(self, frame: dict[str, Any]) -> None:
        assert frame["type"] in ("event", "heartbeat"), frame
        if frame["type"] == "event":
            self.events.append(frame["event"])
        self.cursor = frame["id"] if frame["type"] == "event" else frame["cursor"]

    @asynccontextmanager
    async def _websocket(self) -> AsyncIterator[Next]:
        async with connected(f"after={self.cursor}{self._filter}", token_headers(self._token)) as stream:
            await stream.receive_json_from(PATIENCE_S)
            yield lambda: stream.receive_json_from(PATIENCE_S)

    @asynccontextmanager
    async def _sse(self) -> AsyncIterator[Next]:
        async with streaming(self._token, f"after={self.cursor}{self._filter}") as stream:
            yield stream.any_frame


@pytest.fixture(autouse=True)
def _beats_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HEARTBEAT_S", 0.1)


@pytest.fixture
def at_the_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make everything so small that all ways are gone: the ring, the database, and from one to the other."""
    monkeypatch.setattr(tail, "RING_SIZE", 16)
    monkeypatch.setattr(tail, "BATCH", 7)
    monkeypatch.setattr(subscriptions, "BATCH", 5)


@pytest.fixture
def token(transactional_db: None) -> str:
    return make_token(make_user(Role.VIEWER))[1]


async def drive(writers: list[Writer], readers: list[Reader], *, is_steady: bool = False) -> list[int]:
    """Let all work until everything has been written and read; return the ids that were committed."""
    reading = [asyncio.create_task(reader.read(is_steady=is_steady)) for reader in readers]
    # Who came only when all was written would find it in order, whatever the tail does.
    async with asyncio.timeout(PATIENCE_S):
        while tail.TAIL.ring is None:  # noqa: ASYNC110 # nothing here is told of that
            await asyncio.sleep(0.01)
    for writer in writers:
        writer.start()
    for writer in writers:
        await asyncio.to_thread(writer.join)
    written = Event.objects.filter(type=EventType.RUN_PROGRESS).order_by("id").values_list("id", flat=True)
    ids: list[int] = await in_database(lambda: list(written))
    for reader in readers:
        reader.end = ids[-1]
    async with asyncio.timeout(2 * PATIENCE_S):
        await asyncio.gather(*reading)
    return ids


@pytest.mark.usefixtures("at_the_edges")
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.torture)])
async def test_delivered_is_committed_in_order_once_each(token: str, seed: int) -> None:
    writers = [Writer(number, seed) for number in range(1, WRITERS + 1)]
    readers = [Reader(token, f"{seed}/{number}", is_sse=number % 3 == 0) for number in range(9)]
    apart = [Reader(token, f"{seed}/{number}/apart", project=number) for number in (1, 2)]
    ids = await drive(writers, [*readers, *apart])
    for reader in readers:
        assert [event["id"] for event in reader.events] == ids
    for writer in writers:
        told = [event["payload"] for event in readers[0].events if event["project_id"] == writer.number]
        assert [(payload["epoch"], payload["seq"]) for payload in told] == writer.committed
    for reader, writer in zip(apart, writers, strict=False):
        told = [event["payload"] for event in reader.events]
        assert [(payload["epoch"], payload["seq"]) for payload in told] == writer.committed


async def test_without_the_lock_the_same_tail_loses_events(token: str) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time: the order of ids is the order of commits, lock or not")
    writers = [Writer(number, 1, has_lock=False) for number in range(1, WRITERS + 1)]
    reader = Reader(token, "naive")
    ids = await drive(writers, [reader], is_steady=True)
    delivered = [event["id"] for event in reader.events]
    assert delivered == sorted(set(delivered))
    assert set(ids) - set(delivered)
