"""What the measurements of the API stand on: a client, and rows made in bulk."""

from __future__ import annotations

import itertools
import socketserver
import threading
from collections.abc import Iterator

import pytest
from django.db.models import F

from benchmarks.web.client import UnexpectedAnswer, latencies, load, percentile, request
from benchmarks.web.rows import PROJECTS, SHARES, fill
from orchestration.models import Task, TaskDependency
from orchestration.states import TaskStatus
from runtime.models import TaskRun
from security.models import ApiToken


class Server(socketserver.ThreadingTCPServer):
    """Answers every request with a status and a body, and keeps the connection."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = b"200 OK"
        self.heard: list[bytes] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Handler(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        for line in self.rfile:
            if line == b"\r\n":
                self.server.heard.append(line)
                self.wfile.write(b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\n{}" % self.server.status)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


MESSAGE = request("GET", "/tasks", token="bbb_1")
SAME = itertools.repeat(MESSAGE).__next__


def test_a_request_has_its_token_and_no_body() -> None:
    assert b"Authorization: Bearer bbb_1\r\n" in MESSAGE
    assert MESSAGE.endswith(b"\r\n\r\n")


def test_a_request_with_a_body_says_how_long_it_is() -> None:
    assert request("POST", "/tasks", body=b"{}").endswith(b"Content-Length: 2\r\n\r\n{}")


def test_every_answer_is_counted(server: Server) -> None:
    done = load(server.port, SAME, connections=3, seconds=0.1)
    assert done.answers == len(server.heard) >= 3
    assert done.rate == done.answers / done.seconds


def test_as_many_waits_are_measured_as_wanted(server: Server) -> None:
    waits = latencies(server.port, SAME, count=5)
    assert len(waits) == len(server.heard) == 5
    assert waits == sorted(waits)


def test_an_answer_that_is_no_success_is_no_measurement(server: Server) -> None:
    server.status = b"429 Too Many Requests"
    with pytest.raises(UnexpectedAnswer, match="429"):
        latencies(server.port, SAME, count=1)


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.51, 3), (0.99, 4), (1, 4), (0, 1)])
def test_a_percentile_is_what_that_share_does_not_exceed(share: float, value: float) -> None:
    assert percentile([1, 2, 3, 4], share) == value


@pytest.mark.django_db
def test_bulk_rows_are_what_the_product_would_have_made() -> None:
    holds = fill(2000)
    assert Task.objects.count() == 2000
    assert set(Task.objects.values_list("status", flat=True)) == {*SHARES, TaskStatus.DONE}
    assert TaskDependency.objects.filter(task__project=F("depends_on__project")).count() >= 2000 - 2 * PROJECTS
    unmet = Task.objects.filter(status=TaskStatus.TODO).exclude(dependencies__depends_on__status=TaskStatus.DONE)
    assert not unmet.filter(dependencies__isnull=False, unmet_dependencies=0).exists()
    assert TaskRun.objects.count() == Task.objects.filter(status=TaskStatus.RUNNING).count()
    assert Task.objects.filter(pk__in=holds.tasks, project=holds.project, status=TaskStatus.TODO).count() == len(
        holds.tasks
    )
    assert holds.token.startswith(ApiToken.objects.get().prefix)
