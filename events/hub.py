"""Who listens in an event loop: all of them are woken by one call from the tail's thread, and share what is asked for them.

What somebody may see is asked once for each identity, whatever the number of their streams: when a stream opens, each
heartbeat, and when the log tells that rights have changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import structlog

from events.tail import TAIL, Tail
from security.access import Rights

log = structlog.get_logger("bbb.events")

HEARTBEAT_S = 15.0
# After a change of rights all are asked anew, but not more often than that.
RIGHTS_PAUSE_S = 1.0

Ask = Callable[[], Coroutine[Any, Any, Rights | None]]


class Watch:
    """What one identity may see at the moment."""

    def __init__(self, ask: Ask) -> None:
        self.rights: Rights | None = None
        self.listeners: set[asyncio.Event] = set()
        self._ask = ask
        self._lock = asyncio.Lock()
        self._came = self._answered = 0
        self._stale = asyncio.Event()
        self._keeping = _in_no_context(self._keep())

    async def fresh(self) -> None:
        """Ask for the rights. Many who call at once are answered together, and never by what was asked before they called."""
        self._came += 1
        number = self._came
        async with self._lock:
            if self._answered < number:
                covered, before = self._came, self.rights
                self.rights = await _in_no_context(self._ask())
                self._answered = covered
                if self.rights != before:
                    self._wake()

    def expire(self) -> None:
        """Have the rights asked anew soon."""
        self._stale.set()

    def end(self) -> None:
        """Ask no more."""
        self._keeping.cancel()

    async def _keep(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._stale.wait()
            is_pause_due = self._stale.is_set()
            self._stale.clear()
            try:
                await self.fresh()
            except Exception:
                # The database is away, and with it what they would see. The next heartbeat asks again.
                log.warning("rights_unknown", exc_info=True)
            if is_pause_due:
                await asyncio.sleep(RIGHTS_PAUSE_S)

    def _wake(self) -> None:
        for listener in self.listeners:
            listener.set()


class Hub:
    """The listeners of one event loop."""

    def __init__(self, tail: Tail) -> None:
        self.tail = tail
        self._loop = asyncio.get_running_loop()
        self._listeners: set[asyncio.Event] = set()
        self._watches: dict[str, Watch] = {}
        self._rights_cursor = 0
        self.is_ending = False
        """Whether the server stops: who is told something is told no more."""

    @contextlib.contextmanager
    def listening(self, grown: asyncio.Event) -> Iterator[None]:
        """Have the event set whenever the log has grown."""
        if not self._listeners:
            self.tail.join(self._wake)
        self._listeners.add(grown)
        try:
            yield
        finally:
            self._listeners.discard(grown)
            if not self._listeners:
                self.tail.leave(self._wake)

    @contextlib.asynccontextmanager
    async def watching(self, identity: str, ask: Ask, changed: asyncio.Event) -> AsyncIterator[Watch]:
        """Give the watch over an identity, with rights just asked; have the event set when they change."""
        watch = self._watches.get(identity) or self._watches.setdefault(identity, Watch(ask))
        watch.listeners.add(changed)
        try:
            await watch.fresh()
            yield watch
        finally:
            watch.listeners.discard(changed)
            if not watch.listeners:
                del self._watches[identity]
                watch.end()

    def end(self) -> None:
        """Have all streams end."""
        self.is_ending = True
        self._wake_here()

    def _wake(self) -> None:
        """Wake all. Called by the tail's thread."""
        self._loop.call_soon_threadsafe(self._wake_here)

    def _wake_here(self) -> None:
        for listener in self._listeners:
            listener.set()
        ring = self.tail.ring
        if ring is not None and ring.rights_cursor > self._rights_cursor:
            self._rights_cursor = ring.rights_cursor
            for watch in self._watches.values():
                watch.expire()


_hubs: dict[asyncio.AbstractEventLoop, Hub] = {}


def hub() -> Hub:
    """Return the hub of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        for ended in [other for other in _hubs if other.is_closed()]:
            del _hubs[ended]
        _hubs[loop] = Hub(TAIL)
    return _hubs[loop]


def _in_no_context(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Begin work that belongs to no request: its synchronous code must not hold on to a request's thread."""
    return asyncio.get_running_loop().create_task(work, context=contextvars.Context())
