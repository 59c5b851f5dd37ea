"""What the API serves on one process, beside bare Django views of the same rows on the same server, and how it grows.

The server is uvicorn with one worker. The bare views know no login, filters or pages (benchmarks/web/urls.py). Sides are
measured in turn, in shuffled rounds, since the machine's speed drifts; what is said is the round in the middle.
"""

from __future__ import annotations

import base64
import itertools
import json
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.http import HttpResponseBase
from django.test import Client
from django.test.utils import CaptureQueriesContext

from benchmarks.harness import Figure, Goal, at_least, at_most, benchmark
from benchmarks.web.client import Requests, latencies, load, percentile, request
from benchmarks.web.rows import Contents, fill
from benchmarks.web.stage import Stage, stage

SIZE, SMALL, LARGE = 100_000, 1_000, 1_000_000
CONNECTIONS = 16
ROUNDS = 5
SECONDS = 2.0
SAMPLES = 60
ROOT = "/api/v1/tasks"


@dataclass
class Side:
    """One way of doing something, and how it went, round by round."""

    requests: Requests
    rates: list[float] = field(default_factory=list)
    waits_ms: list[float] = field(default_factory=list)

    def measure(self, port: int) -> None:
        self.rates.append(load(port, self.requests, connections=CONNECTIONS, seconds=SECONDS).rate)
        self.waits_ms += latencies(port, self.requests, count=SAMPLES)


@dataclass(frozen=True)
class Operation:
    """Something the API does, and the bare view that does the like."""

    name: str
    ours: Side
    bare: Side
    goal: Goal | None = None

    def figures(self) -> Iterator[Figure]:
        ours, bare = sorted(zip(self.ours.rates, self.bare.rates, strict=True), key=lambda pair: pair[0] / pair[1])[
            ROUNDS // 2
        ]
        yield Figure(f"{self.name}: requests per second, {CONNECTIONS} connections", ours, "1/s", bare, self.goal)
        for share in (0.5, 0.99):
            waits = [percentile(sorted(side.waits_ms), share) for side in (self.ours, self.bare)]
            yield Figure(f"{self.name}: percentile {100 * share:g}, 1 connection", waits[0], "ms", waits[1])


@benchmark
def operations() -> Iterator[Figure]:
    """A list of 50 of 100,000 tasks, one task, a new task and a command."""
    with stage(SIZE, _folder()) as web:
        measured = _operations(web.holds)
        sides = [side for operation in measured for side in (operation.ours, operation.bare)]
        for side in sides:
            latencies(web.port, side.requests, count=SAMPLES // 2)
        for _ in range(ROUNDS):
            for side in random.sample(sides, len(sides)):
                side.measure(web.port)
        yield _client_share(web)
    for operation in measured:
        yield from operation.figures()


@benchmark
def queries() -> Iterator[Figure]:
    """How often each asks the database."""
    holds = fill(SMALL)
    client = Client(headers={"Authorization": f"Bearer {holds.token}", "Host": "127.0.0.1"})
    task = f"{ROOT}/{holds.tasks[0]}"
    created = {"project": holds.project, "title": "New"}
    # The first use of a token is noted, once a minute.
    client.get(task)
    yield _queries("list", lambda: client.get(_list_path(holds)))
    yield _queries("read", lambda: client.get(task))
    yield _queries("create", lambda: client.post(ROOT, created, content_type="application/json"))
    yield _queries("command", lambda: client.post(f"{task}/pause", {}, content_type="application/json"))


@benchmark
def growth() -> Iterator[Figure]:
    """The same pages of 1,000 and of 1,000,000 tasks."""
    folder = _folder()
    with stage(SMALL, folder) as small, stage(LARGE, folder) as large:
        for name, path in (
            ("list of a project and status", _list_path),
            ("page deep in", _deep_path),
            ("list of all tasks", lambda _holds: ROOT),
        ):
            waits: dict[int, list[float]] = {small.port: [], large.port: []}
            for web in (web for _ in range(ROUNDS) for web in random.sample([small, large], 2)):
                side = _side(request("GET", path(web.holds), token=web.holds.token))
                waits[web.port] += latencies(web.port, side.requests, count=SAMPLES)
            medians = [statistics.median(waits[web.port]) for web in (large, small)]
            yield Figure(f"{name}: median at {LARGE:,} tasks", medians[0], "ms", medians[1], at_most(1.2, of="ratio"))


def _operations(holds: Contents) -> list[Operation]:
    listed = request("GET", _list_path(holds), token=holds.token)
    bare_list = request("GET", f"/bare/projects/{holds.project}/todo")
    task = holds.tasks[0]
    read, bare_read = request("GET", f"{ROOT}/{task}", token=holds.token), request("GET", f"/bare/tasks/{task}")
    new = json.dumps({"project": holds.project, "title": "New"}).encode()
    created, bare_created = request("POST", ROOT, token=holds.token, body=new), request("POST", "/bare/tasks", body=new)
    # Each task once: one that is held already is not held again.
    held = (request("POST", f"{ROOT}/{task}/pause", token=holds.token, body=b"{}") for task in holds.tasks)
    bare_held = (request("POST", f"/bare/tasks/{task}/hold", body=b"{}") for task in reversed(holds.tasks))
    return [
        Operation("list", _side(listed), _side(bare_list), at_least(0.7, of="ratio")),
        Operation("read", _side(read), _side(bare_read)),
        Operation("create", _side(created), _side(bare_created)),
        Operation("command", Side(held.__next__), Side(bare_held.__next__)),
    ]


def _side(message: bytes) -> Side:
    return Side(itertools.repeat(message).__next__)


def _list_path(holds: Contents) -> str:
    return f"{ROOT}?project={holds.project}&status=todo"


def _deep_path(holds: Contents) -> str:
    """Return a page behind half the tasks of a priority; short, so that the small table fills it too."""
    middle = holds.tasks[len(holds.tasks) // 2]
    cursor = base64.urlsafe_b64encode(json.dumps([0, 2, middle]).encode()).decode()
    return f"{_list_path(holds)}&limit=4&cursor={cursor}"


def _client_share(web: Stage) -> Figure:
    """Say how busy the client was when the server had nothing to do: it must not be what is measured."""
    nothing = request("GET", "/bare/nothing")
    done = load(web.port, itertools.repeat(nothing).__next__, connections=CONNECTIONS, seconds=SECONDS)
    name = f"client's share of a processor at {done.rate:,.0f} requests per second"
    return Figure(name, done.client_s / done.seconds, "", goal=at_most(0.5))


def _queries(name: str, ask: Callable[[], HttpResponseBase]) -> Figure:
    with CaptureQueriesContext(connection) as captured:
        answer = ask()
    assert answer.status_code < 300, answer
    return Figure(f"{name}: queries", len(captured), "")


def _folder() -> Path:
    return Path(tempfile.mkdtemp(dir=settings.BBB_HOME))
