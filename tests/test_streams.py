"""Streams as they are served: whole web processes, with clients that are slow, many, or come all at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.db import connection, connections
from websockets.exceptions import ConnectionClosed

from events.models import Event
from events.tests.factories import record
from security.roles import Role
from security.tests.factories import make_token, make_user
from tests.schedulers import Site, site
from tests.webs import PATIENCE_S, SSE, Server, Web, ids, serving, sse_ids

pytestmark = pytest.mark.django_db(transaction=True)

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("streams")) as at:
        yield at


@pytest.fixture(scope="module")
def first_server(place: Site) -> Iterator[Server]:
    with serving(place, kind="daphne") as server:
        yield server


@pytest.fixture(scope="module")
def second_server(place: Site) -> Iterator[Server]:
    with serving(place) as server:
        yield server


@pytest.fixture
def token(transactional_db: None) -> str:
    return make_token(make_user(Role.VIEWER))[1]


@pytest_asyncio.fixture(autouse=True)
async def _closed(transactional_db: None) -> AsyncIterator[None]:
    yield
    await in_database(connections.close_all)


@pytest.fixture
def one(first_server: Server, token: str) -> Web:
    return Web(first_server, token)


@pytest.fixture
def two(second_server: Server, token: str) -> Web:
    return Web(second_server, token)


def flood(count: int, size: int) -> list[int]:
    """Put large events into the log, as nobody else writes."""
    now = record().at
    rows = [
        Event(at=now, type="run.progress", actor="test", trace_id="t", payload={"text": "x" * size})
        for _ in range(count)
    ]
    Event.objects.bulk_create(rows)
    return list(Event.objects.order_by("id").values_list("id", flat=True))


async def in_database(work: Callable[..., Any], *args: Any) -> Any:
    return await sync_to_async(work)(*args)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


@contextlib.contextmanager
def byte_by_byte(address: str, request: bytes) -> Iterator[Callable[[], int]]:
    """Send a request, and read a byte of the answer for each call; returns how many were read."""
    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(address)
        slow.sendall(request)
        read = [0]

        def read_one() -> int:
            read[0] += len(slow.recv(1))
            return read[0]

        yield read_one


async def test_both_kinds_of_streams_tell_the_same(one: Web) -> None:
    before = await in_database(lambda: [record().id for _ in range(3)])
    async with one.socket("after=0&type=task.") as first, one.stream("after=0&type=task.") as second:
        assert await ids(first, 3) == await sse_ids(second, 3) == before
        later = await in_database(lambda: [record().id for _ in range(3)])
        assert await ids(first, 3) == await sse_ids(second, 3) == later


@pytest.mark.parametrize("server", ["daphne", "uvicorn"])
@pytest.mark.parametrize("kind", ["websocket", "sse"])
async def test_a_reader_of_a_byte_at_a_time_holds_up_nobody_and_nothing(
    one: Web, two: Web, kind: str, server: str
) -> None:
    one = one if server == "daphne" else two
    path = f"{SSE}?after=0"
    request = one.handshake("after=0") if kind == "websocket" else one.request(path)
    async with one.socket("type=task.") as other:
        with byte_by_byte(one.address, request) as read_one:
            read_one()
            everything = await in_database(flood, 3000, 20_000)
            before = one.memory
            for _ in range(3):
                event = await in_database(record)
                # What the other hears meanwhile.
                async with asyncio.timeout(PATIENCE_S):
                    while (await ids(other, 1)) != [event.id]:
                        pass
                read_one()
            # 60 MB wait for the slow one; the ring holds a quarter of that, whoever listens.
            assert one.memory - before < 40 * MIB
        await until(lambda: bool(one.closings()))
        assert one.closings()[0] < everything[-1]


async def test_a_client_of_a_stream_that_goes_away_is_let_go(one: Web) -> None:
    for _ in range(3):
        async with one.stream() as reader:
            await reader.readuntil(b"hello")
    await until(lambda: len(one.closings()) == 3)


async def test_the_server_goes_on_after_streams_that_were_cut_off(one: Web) -> None:
    # As many as there are threads for requests, and some more.
    async with contextlib.AsyncExitStack() as open_:
        for _ in range(20):
            reader = await open_.enter_async_context(one.stream())
            await reader.readuntil(b"hello")
        event = await in_database(record)
        async with one.stream(f"after={event.id - 1}&type=task.") as reader:
            assert await sse_ids(reader, 1) == [event.id]


@pytest.mark.skipif("DATABASE_URL" not in os.environ, reason="SQLite has no connections that could run out")
async def test_idle_streams_hold_no_connection_to_the_database(one: Web) -> None:
    def sessions() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
            return int(cursor.fetchone()[0])

    before = await in_database(sessions)
    async with contextlib.AsyncExitStack() as open_:
        for _ in range(40):
            reader = await open_.enter_async_context(one.stream())
            await reader.readuntil(b"hello")
        # The tail's two, and the one thread in which rights are asked.
        assert await in_database(sessions) - before <= 5


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.torture)])
async def test_idle_sockets_cost_little_and_hear_what_happens(one: Web, count: int) -> None:
    async with contextlib.AsyncExitStack() as open_:
        first = await open_.enter_async_context(one.socket("type=task."))
        before = one.memory
        more = [await open_.enter_async_context(one.socket("type=task.")) for _ in range(count - 1)]
        assert (one.memory - before) / count < 200 * 1024
        event = await in_database(record)
        assert await asyncio.gather(*(ids(each, 1) for each in [first, *more])) == [[event.id]] * count


@pytest.mark.parametrize("count", [50, pytest.param(500, marks=pytest.mark.torture)])
async def test_clients_that_come_back_all_at_once_miss_nothing(one: Web, count: int) -> None:
    recorded = await in_database(lambda: [record().id for _ in range(20)])

    async def come_back(number: int) -> list[int]:
        after = recorded[number % len(recorded)]
        async with one.socket(f"after={after}&type=task.") as stream:
            missed = [id_ for id_ in recorded if id_ > after]
            return [after, *await ids(stream, len(missed))]

    for told in await asyncio.gather(*(come_back(number) for number in range(count))):
        assert told == recorded[recorded.index(told[0]) :]


async def test_a_message_that_is_too_long_ends_its_socket_and_nothing_else(one: Web) -> None:
    async with one.socket("type=task.") as other:
        async with one.socket() as stream:
            with contextlib.suppress(OSError, ConnectionClosed):
                await stream.send("x" * 10 * MIB)
            await stream.wait_closed()
        event = await in_database(record)
        assert await ids(other, 1) == [event.id]


async def test_a_proxy_that_passes_on_whole_blocks_delays_and_loses_nothing(one: Web, tmp_path: Path) -> None:
    block, address = 512, str(tmp_path / "proxy")

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_unix_connection(one.address)
        try:
            outer.write(await reader.readuntil(b"\r\n\r\n"))
            while True:
                writer.write(await inner.readexactly(block))
        finally:
            outer.close()
            writer.close()

    server = await asyncio.start_unix_server(pass_on, address)
    async with server, one.stream("after=0&type=task.", address=address) as reader:
        recorded = await in_database(lambda: [record().id for _ in range(30)])
        # The last ones may be in the proxy still.
        assert await sse_ids(reader, 20) == recorded[:20]


# Several web processes.


async def test_two_web_processes_deliver_the_same(one: Web, two: Web) -> None:
    async with (
        one.socket("type=task.") as first,
        two.socket("type=task.") as second,
        two.stream("type=task.") as third,
    ):
        await third.readuntil(b"hello")
        recorded = await in_database(lambda: [record().id for _ in range(50)])
        assert await ids(first, 50) == await ids(second, 50) == await sse_ids(third, 50) == recorded


@pytest.mark.skipif("DATABASE_URL" not in os.environ, reason="SQLite is asked, and says nothing by itself")
async def test_a_process_whose_listening_connection_is_ended_goes_on(one: Web) -> None:
    def end_listeners() -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE 'LISTEN%%'"
            )
            return len(cursor.fetchall())

    async with one.socket("type=task.") as stream:
        for _ in range(2):
            # It listens again at its next poll.
            while not await in_database(end_listeners):  # noqa: ASYNC110  (nothing here is told of that)
                await asyncio.sleep(0.05)
            recorded = await in_database(lambda: [record().id for _ in range(3)])
            assert await ids(stream, 3) == recorded


def redis_server() -> str | None:
    return shutil.which("redis-server") or shutil.which("valkey-server")


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start a Redis on a socket of its own; yields it and its URL."""
    program = redis_server()
    if program is None:
        pytest.skip("there is no redis-server here; it is in Debian's package of this name")
    path = folder / "redis"
    command = [program, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not path.exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        yield process, f"unix://{path}"
    finally:
        process.kill()
        process.wait()


async def test_losing_redis_loses_no_event(place: Site, token: str, tmp_path: Path) -> None:
    with redis(tmp_path) as (server, url), serving(place, REDIS_URL=url) as server_with_redis:
        served = Web(server_with_redis, token)
        async with served.socket("type=task.") as stream:
            recorded = await in_database(lambda: [record().id for _ in range(3)])
            assert await ids(stream, 3) == recorded
            server.kill()
            server.wait()
            recorded = await in_database(lambda: [record().id for _ in range(3)])
            assert await ids(stream, 3) == recorded
        async with served.socket("type=task.") as stream:
            event = await in_database(record)
            assert await ids(stream, 1) == [event.id]


@pytest.mark.torture
async def test_a_channel_layer_of_redis_waits_longer_than_its_client_does(tmp_path: Path) -> None:
    # redis 8 breaks it: what is received after some seconds of silence is an error. The pin in pyproject.toml holds it back.
    from channels_redis.core import RedisChannelLayer  # type: ignore[import-untyped]

    with redis(tmp_path) as (_, url):
        layer = RedisChannelLayer(hosts=[url])
        waiting = asyncio.create_task(layer.receive("idle"))
        done, _ = await asyncio.wait([waiting], timeout=12)
        assert not done
        await layer.send("idle", {"type": "hint"})
        assert await waiting == {"type": "hint"}
        await layer.close_pools()
