"""A crowd of sockets as the benchmark sees it, and the socket through which the references are told to send."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import websockets

from benchmarks.sockets.servers import Server
from tests.commands import ROOT


@dataclass(frozen=True)
class Arrival:
    """When the sockets that read got what was waited for, on the system's monotonic clock, the earliest first."""

    times: list[float]
    texts: int
    """How many texts came meanwhile, to all of them together."""
    share: float
    """Of a processor that the crowd itself used."""
    closed: int


class Listeners:
    """The crowd's process."""

    def __init__(self, process: subprocess.Popen[str], count: int) -> None:
        self._process = process
        self.count = count
        """How many of them read."""

    def watch(self, mark: str) -> None:
        """Begin to wait for a text with the mark; what is sent from now on is seen."""
        self._stdin.write(f"{mark}\n")
        self._stdin.flush()
        assert self._line() == "watching"

    def arrival(self) -> Arrival:
        """Wait until it has come to all that read."""
        found = Arrival(**json.loads(self._line()))
        assert len(found.times) == self.count, f"it came to {len(found.times)} of {self.count}"
        return found

    def expect_greeting(self) -> None:
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    @property
    def _stdin(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin


@contextlib.contextmanager
def listening(server: Server, path: str, count: int, *, token: str, stalled: int = 0) -> Iterator[Listeners]:
    """Open so many sockets, of which some never read, and close them with the block."""
    url = f"{server.url}{path}"
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sockets.crowd", url, str(count), str(stalled)],
        cwd=ROOT,
        env={**os.environ, "BBB_TOKEN": token},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        crowd = Listeners(process, count - stalled)
        crowd.expect_greeting()
        yield crowd
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if stream:
                    stream.close()


def tell(server: Server, count: int, text: str) -> None:
    """Have a reference server send a text so often to all who listen; its last one keeps the word LAST."""

    async def say() -> None:
        async with websockets.connect(f"ws://127.0.0.1:{server.port}/", compression=None, proxy=None) as connection:
            await connection.send(f"{count} {text}")
            # A server may end what a socket asked for when that is closed.
            while await connection.recv() != "done":
                pass

    asyncio.run(say())
