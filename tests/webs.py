"""Real web processes for tests: the server that users run, over the test's own database, and clients that talk to it.

A test that uses them needs `django_db(transaction=True)`: what it writes has to be seen by other processes.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from websockets.asyncio.client import ClientConnection, unix_connect

from tests.commands import ROOT
from tests.schedulers import Site

# Reached only when something is broken.
PATIENCE_S = 60.0
SSE = "/api/v1/events/stream"
_COMMANDS = {
    "daphne": ["daphne", f"--websocket_connect_timeout={PATIENCE_S:.0f}", "-u"],
    "uvicorn": ["uvicorn", "--no-access-log", "--ws=websockets-sansio", "--uds"],
}


@dataclass
class Server:
    """A web process."""

    process: subprocess.Popen[bytes]
    address: str
    log: Path


@dataclass
class Web:
    """A web process as one test uses it, with a token of a viewer."""

    server: Server
    token: str

    def __post_init__(self) -> None:
        self.address = self.server.address
        self._begin = self.server.log.stat().st_size

    @property
    def memory(self) -> int:
        """The bytes that the process holds."""
        return int(psutil.Process(self.server.process.pid).memory_info().rss)

    @asynccontextmanager
    async def socket(self, query: str = "", path: str = "/ws/events/") -> AsyncIterator[ClientConnection]:
        """Open a WebSocket and read its greeting."""
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"ws://localhost{path}?{query}"
        # Blocking: while the server's queue is full, asyncio takes a UNIX socket for connected that is not.
        connection = socket.socket(socket.AF_UNIX)
        await asyncio.to_thread(connection.connect, self.address)
        options: dict[str, Any] = {"proxy": None, "open_timeout": PATIENCE_S, "ping_interval": None}
        async with unix_connect(uri=url, sock=connection, additional_headers=headers, **options) as stream:
            assert (await frame(stream))["type"] == "hello"
            yield stream

    @asynccontextmanager
    async def stream(self, query: str = "", *, address: str = "") -> AsyncIterator[asyncio.StreamReader]:
        """Open a stream of server-sent events; what is read is the answer's head first."""
        reader, writer = await asyncio.open_unix_connection(address or self.address)
        try:
            writer.write(self.request(f"{SSE}?{query}"))
            yield reader
        finally:
            writer.close()

    def request(self, path: str, **headers: str) -> bytes:
        """Return a GET as it is sent."""
        more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.token}\r\n{more}\r\n".encode()

    def handshake(self, query: str) -> bytes:
        """Return the request that opens a WebSocket."""
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"}
        key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
        return self.request(f"/ws/events/?{query}", **upgrade, **key)

    def closings(self) -> list[int]:
        """Return how far each stream of this test was that has ended."""
        said = self.server.log.read_bytes()[self._begin :].decode()
        lines = (json.loads(line) for line in said.splitlines() if line.startswith("{"))
        return [line["cursor"] for line in lines if line["event"] == "event_stream_closed"]


@contextmanager
def serving(site: Site, *, kind: str = "uvicorn", **environment: str) -> Iterator[Server]:
    """Start a web process; it is gone afterwards."""
    number = len(list(site.home.glob("web-*.log"))) + 1
    # Short: the address of a socket may not be long.
    folder = Path(tempfile.mkdtemp(prefix="bbb-web-"))
    address, log = folder / "web", site.home / f"web-{number}.log"
    command = [sys.executable, "-m", *_COMMANDS[kind], str(address), "beebeebrain.asgi:application"]
    variables = {"DJANGO_SETTINGS_MODULE": "beebeebrain.settings", "BBB_API_PER_MINUTE": "0"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=site.environment | variables | environment, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not address.exists():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield Server(process, str(address), log)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


async def frame(stream: ClientConnection) -> dict[str, Any]:
    """Return the next frame of a socket that is no heartbeat."""
    async with asyncio.timeout(PATIENCE_S):
        while (told := json.loads(await stream.recv()))["type"] == "heartbeat":
            pass
    assert isinstance(told, dict)
    return told


async def ids(stream: ClientConnection, count: int) -> list[int]:
    """Return the ids of the next events of a socket."""
    return [(await frame(stream))["id"] for _ in range(count)]


async def sse_ids(reader: asyncio.StreamReader, count: int) -> list[int]:
    """Return the ids of the next events of a stream."""
    found: list[int] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < count:
            line = await reader.readline()
            assert line, "the stream has ended"
            if line.startswith(b'data: {"type":"event"'):
                found.append(json.loads(line[6:])["id"])
    return found
