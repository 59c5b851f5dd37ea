"""How soon and how fast what was committed reaches those who listen, beside `websockets.broadcast` and Channels' groups.

Each server is a process of its own, and so is the crowd that listens; events are committed by this process. Sides are measured in
turn, in shuffled rounds; what is said is the round in the middle. docs/performance.md explains the figures.
"""

from __future__ import annotations

import contextlib
import functools
import random
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from benchmarks.harness import Figure, Goal, at_least, at_most, benchmark
from benchmarks.sockets.appending import append_events, append_raw, fill, read_raw
from benchmarks.sockets.listeners import Listeners, listening, tell
from benchmarks.sockets.servers import GROUP, OURS, Server, has_granian, serving
from benchmarks.web.client import percentile
from benchmarks.web.rows import fill as fill_rows

PATH = "/ws/events/"
CROWD = 1000
ROUNDS = 3
# So many messages a round, that each takes some seconds: by server, and for groups, which are slower by far.
BURSTS, GROUP_BURST = {"uvicorn": 200, "granian": 100, "daphne": 40}, 4
SAMPLES, PACE_S = 60, 0.05
IDLE_S = 20.0
REPLAYED = 100_000
APPENDED = 400


@dataclass
class Side:
    """One way to tell a crowd, and how many messages a second it delivered, round by round."""

    server: Server
    crowd: Listeners
    send: Callable[[str], int]
    """Has messages sent, of which the last holds the mark; returns how many."""
    rates: list[float] = field(default_factory=list)
    costs_us: list[float] = field(default_factory=list)
    """Processor time of the server for a message: what others do on the machine changes it least."""
    shares: list[float] = field(default_factory=list)

    def measure(self) -> None:
        mark = f"LAST{uuid.uuid4().hex}"
        self.crowd.watch(mark)
        began, busy = time.monotonic(), self.server.busy_s()
        count = self.send(mark)
        arrived = self.crowd.arrival()
        messages = count * self.crowd.count
        self.rates.append(messages / (max(arrived.times) - began))
        self.costs_us.append(1e6 * (self.server.busy_s() - busy) / messages)
        self.shares.append(arrived.share)

    def forget(self) -> None:
        for kept in (self.rates, self.costs_us, self.shares):
            kept.clear()


@benchmark
def latency() -> Iterator[Figure]:
    """From the end of a commit to the socket, one event at a time, to crowds of three sizes, on the production server."""
    token = _token()
    with serving("uvicorn", OURS, pings=True) as server:
        for size in (1, 100, CROWD):
            with listening(server, PATH, size, token=token) as crowd:
                waits = sorted(wait for _ in range(SAMPLES) for wait in _waits_ms(crowd))
            for share in (0.5, 0.95, 0.99):
                goal = at_most(50) if (size, share) == (100, 0.95) else None
                name = f"commit to socket, {size:,} clients: percentile {100 * share:g}"
                yield Figure(name, percentile(waits, share), "ms", goal=goal)


@benchmark
def delivery() -> Iterator[Figure]:
    """Messages a second to 1,000 sockets of which one never reads."""
    token, found = _token(), {}
    kinds = ["uvicorn", "daphne", *(["granian"] if has_granian() else [])]
    for kind in kinds:
        found[kind] = _delivery(kind, token)
        yield from _delivered(kind, *found[kind])


@benchmark
def idle() -> Iterator[Figure]:
    """What 1,000 sockets cost that are told nothing but heartbeats and pings."""
    token = _token()
    for kind in ("uvicorn", "daphne"):
        with serving(kind, OURS, pings=True) as server:
            with listening(server, PATH, 10, token=token):
                before = server.memory_kib()
            with listening(server, PATH, CROWD, token=token):
                held = server.memory_kib()
                time.sleep(2)
                began, busy = time.monotonic(), server.busy_s()
                time.sleep(IDLE_S)
                share = 100 * (server.busy_s() - busy) / (time.monotonic() - began)
        yield Figure(f"{kind}: memory of an idle connection", (held - before) / CROWD, "KiB")
        goal = at_most(2) if kind == "uvicorn" else None
        yield Figure(f"{kind}: idle with {CROWD:,} sockets, share of a core", share, "%", goal=goal)


@benchmark
def appends() -> Iterator[Figure]:
    """Events a second into the log, one a transaction and many, beside bare inserts of the same rows."""
    for size in (1, 50):
        rounds = []
        for _ in range(ROUNDS):
            sides = {}
            for side in random.sample([append_events, append_raw], 2):
                began = time.perf_counter()
                side(APPENDED, size)
                sides[side] = APPENDED / (time.perf_counter() - began)
            rounds.append((sides[append_events], sides[append_raw]))
        ours, raw = _middle(rounds)
        yield Figure(f"appends per second, {size} a transaction", ours, "1/s", raw)


@benchmark
def replay() -> Iterator[Figure]:
    """100,000 events to one client that begins at the start of the log, beside a bare read of the rows."""
    mark = uuid.uuid4().hex
    token, after = _token(), fill(REPLAYED, mark)
    with serving("uvicorn", OURS) as server:
        began = time.monotonic()
        with listening(server, f"{PATH}?after={after}", 1, token=token) as crowd:
            crowd.watch(mark)
            took = crowd.arrival().times[0] - began
    began = time.monotonic()
    read_raw(after)
    raw = time.monotonic() - began
    yield Figure(f"replay of {REPLAYED:,} events: events per second", REPLAYED / took, "1/s", REPLAYED / raw)


def _delivery(kind: str, token: str) -> tuple[Side, Side, Side]:
    """Measure ours, the ceiling on the same loop, and a group on the same server, in turn."""
    loop = "asyncio" if kind == "daphne" else "uvloop"
    with contextlib.ExitStack() as stack:
        # Kept apart, as a process each: none shares a loop with what it is compared with.
        def side(server: Server, send: Callable[[Server, str], int], path: str = "/") -> Side:
            crowd = stack.enter_context(listening(server, path, CROWD, token=token, stalled=1))
            return Side(server, crowd, lambda mark: send(server, mark))

        servers = [(kind, OURS), (f"ceiling-{loop}", ""), (kind, GROUP)]
        started = [stack.enter_context(serving(*each)) for each in servers]
        sends = [_committed(BURSTS[kind]), _told(BURSTS[kind]), _told(GROUP_BURST)]
        paths = [PATH, "/", "/"]
        sides = [side(*each) for each in zip(started, sends, paths, strict=True)]
        for each in sides:
            # Also fills what the system takes in for the socket that does not read.
            each.measure()
            each.forget()
        for each in (each for _ in range(ROUNDS) for each in random.sample(sides, 3)):
            each.measure()
    ours, ceiling, group = sides
    return ours, ceiling, group


def _delivered(kind: str, ours: Side, ceiling: Side, group: Side) -> Iterator[Figure]:
    goals: dict[str, tuple[Goal, Goal]] = {
        "uvicorn": (at_least(0.75, of="ratio"), at_least(30, of="ratio")),
        "daphne": (at_least(0.2, of="ratio"), at_least(10, of="ratio")),
    }
    to_ceiling, to_group = goals.get(kind, (None, None))
    name = f"{kind}: messages per second to {CROWD:,} clients"
    rate, beside = _middle(list(zip(ours.rates, ceiling.rates, strict=True)))
    yield Figure(f"{name}, beside websockets.broadcast", rate, "1/s", beside, to_ceiling)
    rate, beside = _middle(list(zip(ours.rates, group.rates, strict=True)))
    yield Figure(f"{name}, beside group_send", rate, "1/s", beside, to_group)
    costs = [statistics.median(side.costs_us) for side in (ours, ceiling)]
    yield Figure(f"{kind}: processor time per message, beside websockets.broadcast", costs[0], "µs", costs[1])
    yield Figure(f"{kind}: the crowd's own share of a core, at most", 100 * max(ours.shares), "%")


def _middle(rounds: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the round whose ratio is in the middle."""
    return sorted(rounds, key=lambda pair: pair[0] / pair[1])[len(rounds) // 2]


def _committed(count: int) -> Callable[[Server, str], int]:
    def send(_: Server, mark: str) -> int:
        append_events(count, count, mark)
        return count

    return send


def _told(count: int) -> Callable[[Server, str], int]:
    def send(server: Server, mark: str) -> int:
        tell(server, count, _like_an_event(mark))
        return count

    return send


def _like_an_event(mark: str) -> str:
    """Return a text as long as what ours sends for an event."""
    from events.frames import Frame
    from events.models import Event

    event = Event.objects.order_by("-id")[0]
    return f"{mark} {'x' * (len(Frame.of(event).text) - len(mark) - 1)}"


def _waits_ms(crowd: Listeners) -> list[float]:
    time.sleep(random.uniform(0.5, 1.5) * PACE_S)
    mark = uuid.uuid4().hex
    crowd.watch(mark)
    append_events(1, 1, mark)
    committed = time.monotonic()
    # It may be there before this process knows that it is committed.
    return [max(0.0, at - committed) * 1000 for at in crowd.arrival().times]


@functools.cache
def _token() -> str:
    return fill_rows(100).token
