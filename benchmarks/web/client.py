"""An HTTP client that costs little: one keep-alive connection each, whole requests as bytes, nothing parsed but status and length."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

# Gives the next request to send, as the bytes that go over the wire.
Requests = Callable[[], bytes]

_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


class UnexpectedAnswer(Exception):
    """The server answered a measured request with something else than success."""


@dataclass(frozen=True, slots=True)
class Load:
    """What some connections achieved together."""

    answers: int
    seconds: float
    client_s: float
    """Processor time that the client itself took."""

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answers / self.seconds


def request(method: str, path: str, *, token: str = "", body: bytes = b"") -> bytes:
    """Return a request as bytes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: application/json"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if method != "GET":
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + _END + body


def load(port: int, requests: Requests, *, connections: int, seconds: float) -> Load:
    """Send requests over several connections at once, each waiting for its answer. Raises UnexpectedAnswer."""
    return asyncio.run(_load(port, requests, connections, seconds))


def latencies(port: int, requests: Requests, *, count: int) -> list[float]:
    """Return the milliseconds each of `count` answers took over one connection, sorted. Raises UnexpectedAnswer."""
    return sorted(asyncio.run(_latencies(port, requests, count)))


def percentile(sorted_values: list[float], share: float) -> float:
    """Return the value that `share` of all, from 0 to 1, do not exceed."""
    return sorted_values[max(1, math.ceil(share * len(sorted_values))) - 1]


async def fetch(port: int, message: bytes) -> bytes:
    """Return the body of one answer. Raises UnexpectedAnswer."""
    connection = await _Connection.open(port)
    try:
        return await connection.ask(message)
    finally:
        connection.close()


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> _Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, message: bytes) -> bytes:
        self._writer.write(message)
        head = (await self._reader.readuntil(_END)).lower()
        _, found, rest = head.partition(_LENGTH)
        body = await self._reader.readexactly(int(rest.partition(b"\r\n")[0])) if found else b""
        if head[9:10] != b"2":
            raise UnexpectedAnswer(f"{message[:200]!r}: {head[:20]!r} {body[:500]!r}")
        return body

    def close(self) -> None:
        self._writer.close()


async def _load(port: int, requests: Requests, count: int, seconds: float) -> Load:
    connections = [await _Connection.open(port) for _ in range(count)]
    began, busy = time.perf_counter(), time.process_time()
    try:
        answers = await asyncio.gather(*(_repeat(each, requests, began + seconds) for each in connections))
    finally:
        for each in connections:
            each.close()
    return Load(sum(answers), time.perf_counter() - began, time.process_time() - busy)


async def _repeat(connection: _Connection, requests: Requests, until: float) -> int:
    answers = 0
    while time.perf_counter() < until:
        await connection.ask(requests())
        answers += 1
    return answers


async def _latencies(port: int, requests: Requests, count: int) -> list[float]:
    connection = await _Connection.open(port)
    took = []
    try:
        for _ in range(count):
            message = requests()
            began = time.perf_counter()
            await connection.ask(message)
            took.append((time.perf_counter() - began) * 1000)
    finally:
        connection.close()
    return took
