"""Many sockets in a process of their own: `python -m benchmarks.sockets.crowd URL COUNT STALLED`, the token in BBB_TOKEN.

Says `ready` when all are greeted. A line `MARK` then waits until each that reads has got a text with the mark, and answers with
one line of JSON: the times on the system's monotonic clock at which they got it. The first STALLED sockets never read.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from typing import TextIO

from beebeebrain.cli.sockets import Listener, listen

OPENED_AT_ONCE = 50
STALLED_BYTES = 4096
LIMIT_S = 120.0


class Crowd:
    """The sockets, and when each got what is waited for."""

    def __init__(self, url: str, count: int, stalled: int) -> None:
        self._url, self._count, self._stalled = url, count, stalled
        self._headers = {"Authorization": f"Bearer {os.environ['BBB_TOKEN']}"}
        self._listeners: list[Listener] = []
        self._greeted = 0
        self._mark = b""
        self._times: list[float] = []
        self._texts = 0
        self._changed = asyncio.Event()

    async def open(self) -> None:
        room = asyncio.Semaphore(OPENED_AT_ONCE)

        async def open_one(number: int) -> None:
            is_stalled = number < self._stalled
            async with room:
                listener = await listen(
                    self._url, self._headers, self._take, buffered_bytes=STALLED_BYTES if is_stalled else None
                )
                if is_stalled:
                    listener.pause()
                self._listeners.append(listener)

        await asyncio.gather(*(open_one(number) for number in range(self._count)))
        while self._greeted < self._count - self._stalled:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), LIMIT_S)

    async def wait(self, mark: str, said: TextIO) -> None:
        """Wait for a mark, and say when it came where. It may have been asked for before it is sent."""
        self._mark, self._times, self._texts = mark.encode(), [], 0
        busy, began = time.process_time(), time.monotonic()
        said.write("watching\n")
        said.flush()
        while len(self._times) < self._count - self._stalled:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), LIMIT_S)
            except TimeoutError:
                break
        share = (time.process_time() - busy) / max(1e-9, time.monotonic() - began)
        closed = sum(1 for each in self._listeners if each.closed)
        told = {"times": self._times, "texts": self._texts, "share": share, "closed": closed}
        said.write(json.dumps(told) + "\n")
        said.flush()

    def _take(self, text: bytes) -> None:
        self._texts += 1
        if self._mark:
            if self._mark in text:
                self._times.append(time.monotonic())
                if len(self._times) == self._count - self._stalled:
                    self._changed.set()
        else:
            self._greeted += 1
            self._changed.set()


async def main(url: str, count: int, stalled: int) -> None:
    """Open the sockets and do what the lines say, until there are no more."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    crowd = Crowd(url, count, stalled)
    await crowd.open()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    loop = asyncio.get_running_loop()
    while line := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        await crowd.wait(line, sys.stdout)


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
