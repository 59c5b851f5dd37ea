"""A test of the stream from outside: events are written at a rate, and many sockets say what of them arrived, and when."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from beebeebrain.cli import config
from beebeebrain.cli.errors import Unreachable
from beebeebrain.cli.sockets import Listener, listen
from beebeebrain.cli.tally import Arrivals, Delays, SentTimes

if TYPE_CHECKING:
    from beebeebrain.cli.api import Api

# As many as the API takes at once.
MOST_IN_A_REQUEST = 500
# So often a request is sent, unless so many events would not fit into one.
_REQUESTS_A_SECOND = 10
_OPENED_AT_ONCE = 50


@dataclass(frozen=True)
class Wanted:
    """What is to be done: `rate` events a second for `seconds`, to `clients` listeners of a project."""

    project: int
    rate: float
    clients: int
    seconds: float
    patience_s: float

    @property
    def batch(self) -> int:
        """How many events go into a request."""
        return max(1, min(MOST_IN_A_REQUEST, round(self.rate / _REQUESTS_A_SECOND)))


@dataclass
class Client:
    """A listener and what it got."""

    arrivals: Arrivals
    greeted: asyncio.Event
    said: str = ""
    """The last thing it was told that is no event."""
    listener: Listener | None = None


class Load:
    """One test: its events carry a mark of their own, so that several may run at once."""

    def __init__(self, api: Api, login: config.Login, wanted: Wanted) -> None:
        self.wanted = wanted
        self._api, self._login = api, login
        self._test = uuid.uuid4().hex[:12]
        self._mark = f'"test":"{self._test}","number":'.encode()
        self._sent_at = SentTimes(wanted.batch)
        self.sent = 0
        self.sending_s = 0.0
        self.busy_s = 0.0
        self.clients: list[Client] = []
        self.closed: list[int] = []
        """The codes of the sockets that ended before the test did."""
        self.posts, self.delays, self.since_written = Delays(), Delays(), Delays()

    async def run(self) -> None:
        """Open the sockets, send, and wait for what is on its way. Raises Unreachable, Refusal."""
        after = (await asyncio.to_thread(self._api.get, "/events/cursor"))["cursor"]
        try:
            await self._open(after)
            began, busy = time.monotonic(), time.process_time()
            await self._send(began)
            self.sending_s = time.monotonic() - began
            self.busy_s = (time.process_time() - busy) / self.sending_s
            await self._wait()
        finally:
            listeners = [client.listener for client in self.clients if client.listener]
            self.closed = [listener.closed for listener in listeners if listener.closed]
            for listener in listeners:
                listener.close()

    @property
    def lost(self) -> int:
        return sum(client.arrivals.lost(self.sent) for client in self.clients)

    async def _open(self, after: int) -> None:
        room = asyncio.Semaphore(_OPENED_AT_ONCE)
        url = f"{self._login.url}/ws/events/?after={after}&project={self.wanted.project}&type=load.probe"
        headers = {"Authorization": f"Bearer {self._login.token}"}

        async def open_one() -> None:
            client = Client(Arrivals(), asyncio.Event())
            self.clients.append(client)
            is_first = len(self.clients) == 1
            async with room:
                client.listener = await listen(url, headers, partial(self._take, client, is_first))
                await _greeted(client)

        async with contextlib.AsyncExitStack() as stack:
            tasks = [asyncio.create_task(open_one()) for _ in range(self.wanted.clients)]
            stack.callback(lambda: [task.cancel() for task in tasks])
            await asyncio.gather(*tasks)

    def _take(self, client: Client, is_first: bool, text: bytes) -> None:
        begin = text.find(self._mark)
        if begin < 0:
            client.said = text[:500].decode(errors="replace")
            client.greeted.set()
            return
        now = time.monotonic()
        begin += len(self._mark)
        digits = text[begin : begin + 12].lstrip()
        number = int(digits[: next((i for i, byte in enumerate(digits) if not 48 <= byte <= 57), len(digits))])
        if client.arrivals.take(number) and (sent_at := self._sent_at.of(number)) is not None:
            self.delays.add(now - sent_at)
            if is_first:
                self._note_age(text)

    def _note_age(self, text: bytes) -> None:
        """Note how old an event is by the server's clock, which says when it was written."""
        _, found, rest = text.partition(b'"at":"')
        if found:
            written = datetime.fromisoformat(rest.partition(b'"')[0].decode())
            self.since_written.add(max(0.0, (datetime.now(UTC) - written).total_seconds()))

    async def _send(self, began: float) -> None:
        """Send batch after batch, one at a time: that is what gives the events an order."""
        pause, number = self.wanted.batch / self.wanted.rate, 0
        while (
            due := began + number * pause
        ) < began + self.wanted.seconds and time.monotonic() < began + self.wanted.seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            first = self.sent
            entries = [self._entry(first + place) for place in range(self.wanted.batch)]
            at = time.monotonic()
            self._sent_at.add(at)
            await asyncio.to_thread(self._api.post, "/events", {"events": entries})
            self.posts.add(time.monotonic() - at)
            self.sent += len(entries)
            number += 1

    def _entry(self, number: int) -> dict[str, Any]:
        return {"type": "load.probe", "project": self.wanted.project, "test": self._test, "number": number}

    async def _wait(self) -> None:
        """Wait until all has arrived, or nothing more has for a while."""
        seen, until = self.delays.count, time.monotonic() + self.wanted.patience_s
        while self.lost and time.monotonic() < until:
            await asyncio.sleep(0.05)
            if self.delays.count != seen:
                seen, until = self.delays.count, time.monotonic() + self.wanted.patience_s

    def report(self) -> dict[str, Any]:
        """Return what came of it, as `--json` prints it."""
        took = {
            "posted_to_received": self.delays,
            "written_to_received": self.since_written,
            "post_answered": self.posts,
        }
        return {
            "clients": len(self.clients),
            "sent": self.sent,
            "rate": round(self.sent / self.sending_s, 1),
            "wanted_rate": self.wanted.rate,
            "delivered": sum(client.arrivals.next for client in self.clients) - self.lost,
            "lost": self.lost,
            "duplicates": sum(client.arrivals.duplicates for client in self.clients),
            "out_of_order": sum(client.arrivals.disordered for client in self.clients),
            "closed_early": len(self.closed),
            "close_codes": sorted(set(self.closed)),
            "processor_share": round(self.busy_s, 2),
            "milliseconds": {name: _percentiles(delays) for name, delays in took.items()},
        }


async def _greeted(client: Client) -> None:
    """Wait for the server's first word. Raises Unreachable if that is a refusal."""
    deadline = time.monotonic() + 30
    while not client.greeted.is_set() and time.monotonic() < deadline:
        if client.listener and client.listener.closed:
            break
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(client.greeted.wait(), 0.2)
    if '"hello"' not in client.said:
        raise Unreachable(
            f"The stream does not begin: {client.said or 'nothing was said'}. `bbb whoami` says what your token may do."
        )


def _percentiles(delays: Delays) -> dict[str, float | None]:
    found = {f"p{100 * share:g}": delays.percentile_ms(share) for share in (0.5, 0.95, 0.99)}
    return {name: None if value is None else round(value, 1) for name, value in found.items()}
