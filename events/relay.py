"""What one connection is told, whatever it is made of: the frames of its subscriptions, as far as it may see them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import NamedTuple

from events import frames, hub
from events.frames import Frame, Notice
from events.hub import Hub, Watch
from events.selection import Sight
from events.subscribing import Message, NotUnderstood, Start, Wanted
from events.subscriptions import Pruned, Subscription
from security.access import Rights

MOST_SUBSCRIPTIONS = 20
# Messages that wait to be carried out; who sends more than that does not wait for answers.
MOST_MESSAGES = 50

BAD_QUERY = 4400
NOT_LOGGED_IN = 4401
TOO_MANY = 4429

# Asks the database where a subscription begins, in a thread.
FindStart = Callable[[Wanted, Sight], Awaitable[Start]]


class Refused(Exception):
    """The stream cannot go on; the client is told why."""

    def __init__(self, close_code: int, code: str, detail: str) -> None:
        super().__init__(code)
        self.close_code = close_code
        self.notice = frames.error(code, detail)


NO_RIGHTS = (NOT_LOGGED_IN, "not_authenticated", "Log in, with a role, or send an API token.")


class Batch(NamedTuple):
    """Events of one subscription; the one of the address has no name."""

    sub: str
    events: list[Frame]


def rights_of(watch: Watch) -> Rights:
    """Return the rights at this moment. Raises Refused."""
    if watch.rights is None:
        raise Refused(*NO_RIGHTS)
    return watch.rights


def sight_of(watch: Watch) -> Sight:
    """Return what may be seen at this moment. Raises Refused."""
    return Sight.of(rights_of(watch))


class Heart:
    """Beats: wakes a stream when the next heartbeat is due."""

    def __init__(self, woken: asyncio.Event) -> None:
        self._woken = woken
        self._loop = asyncio.get_running_loop()
        self._is_due = False
        self._begin()

    def is_due(self) -> bool:
        """Tell whether the time has come; if so, the next one is awaited."""
        is_due = self._is_due
        if is_due:
            self._begin()
        return is_due

    def stop(self) -> None:
        """Wake nobody any more."""
        self._timer.cancel()

    def _begin(self) -> None:
        self._is_due = False
        # A little early, together with others: a thousand sockets are then a few wake-ups a minute.
        step = hub.HEARTBEAT_S / 15
        self._timer = self._loop.call_at((self._loop.time() + hub.HEARTBEAT_S) // step * step, self._beat)

    def _beat(self) -> None:
        # Told, not looked up: an event loop may call a little before the time that it tells.
        self._is_due = True
        self._woken.set()


class Messages:
    """What a client has said and is yet to be carried out."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()
        """Set when there is something to do for the connection: by messages, by the hub and by the watch."""
        self._texts: deque[str | None] = deque()

    def add(self, text: str | None) -> bool:
        """Take a message; False if too many wait already. None is no text."""
        if len(self._texts) >= MOST_MESSAGES:
            return False
        self._texts.append(text)
        self.woken.set()
        return True

    def take(self) -> Iterator[str | None]:
        """Give out what is there, in its order."""
        while self._texts:
            yield self._texts.popleft()


class Relay:
    """The subscriptions of one connection."""

    def __init__(self, at: Hub, watch: Watch, find_start: FindStart, messages: Messages) -> None:
        self._hub = at
        self._tail = at.tail
        self._watch = watch
        self._find_start = find_start
        self._messages = messages
        self._woken = messages.woken
        self._subscriptions: dict[str, Subscription] = {}
        self._begin = 0

    @property
    def cursor(self) -> int:
        """Nothing up to here is missing, in any of the subscriptions."""
        return min((each.cursor for each in self._subscriptions.values()), default=self._end())

    async def output(self, first: Wanted | None) -> AsyncGenerator[Notice | Batch, None]:
        """Give what is to be sent, one after the other, until the server stops. Raises Refused.

        Nothing is read ahead: the next frames are looked for when those before have been sent.
        """
        start = await self._find_start(first or Wanted(), sight_of(self._watch))
        self._begin = start.end
        # Not how far the log reaches: who loses the connection now goes on from here.
        yield frames.hello(start.after, hub.HEARTBEAT_S)
        if first is not None:
            for notice in self._subscribe("", first, start):
                yield notice
        heart = Heart(self._woken)
        try:
            while not self._hub.is_ending:
                # Before the reading: what comes during it wakes us again.
                self._woken.clear()
                is_idle = True
                async for told in self._round(heart):
                    is_idle = is_idle and not isinstance(told, Batch)
                    yield told
                # Between two batches others are let in.
                await (self._woken.wait() if is_idle else asyncio.sleep(0))
        finally:
            heart.stop()

    async def _round(self, heart: Heart) -> AsyncGenerator[Notice | Batch, None]:
        sight_of(self._watch)
        for text in self._messages.take():
            for notice in await self._carry_out(text):
                yield notice
        for sub, subscription in list(self._subscriptions.items()):
            told = await self._next(sub, subscription)
            if told is not None:
                yield told
        if heart.is_due():
            yield self._heartbeat()

    async def _next(self, sub: str, subscription: Subscription) -> Batch | Notice | None:
        try:
            events = await subscription.next(sight_of(self._watch))
        except Pruned:
            subscription.cursor = self._end()
            return frames.resync(subscription.cursor, sub)
        return None if events is None else Batch(sub, events)

    async def _carry_out(self, text: str | None) -> list[Notice]:
        try:
            message = Message.of(text)
        except NotUnderstood as why:
            return [frames.error("bad_message", str(why), why.sub)]
        if message.wanted is None:
            is_there = self._subscriptions.pop(message.sub, None) is not None
            return [frames.unsubscribed(message.sub) if is_there else frames.error(*_NOT_SUBSCRIBED, message.sub)]
        if message.sub in self._subscriptions:
            return [frames.error(*_NAME_TAKEN, message.sub)]
        if len(self._subscriptions) >= MOST_SUBSCRIPTIONS:
            return [frames.error(*_TOO_MANY, message.sub)]
        start = await self._find_start(message.wanted, sight_of(self._watch))
        return self._subscribe(message.sub, message.wanted, start)

    def _subscribe(self, sub: str, wanted: Wanted, start: Start) -> list[Notice]:
        self._subscriptions[sub] = Subscription(self._tail, wanted.selection, after=start.after)
        told = [frames.subscribed(sub, start.after)] if sub else []
        return [*told, frames.resync(start.after, sub)] if start.is_resync else told

    def _heartbeat(self) -> Notice:
        named = {sub: each.cursor for sub, each in self._subscriptions.items() if sub}
        return frames.heartbeat(self.cursor, named)

    def _end(self) -> int:
        ring = self._tail.ring
        return max(self._begin, ring.cursor if ring else 0)


_NOT_SUBSCRIBED = ("not_subscribed", "There is no subscription of this name on this socket.")
_NAME_TAKEN = ("name_taken", "There is a subscription of this name on this socket. End it first, or take another name.")
_TOO_MANY = (
    "too_many_subscriptions",
    f"A socket has at most {MOST_SUBSCRIPTIONS} subscriptions. End one, or open another socket.",
)
