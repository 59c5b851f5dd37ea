"""`manage.py runweb` with each server: what it serves, whom it believes, and how it stops with open streams."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from beebeebrain.backpressure import MOST_RECEIVED
from beebeebrain.web import SERVERS
from security.roles import Role
from security.tests.factories import make_token, make_user
from tests.commands import ROOT
from tests.schedulers import Site

pytestmark = pytest.mark.django_db(transaction=True)

LIMIT_S = 60.0


@dataclass(frozen=True)
class Web:
    """A web process."""

    process: subprocess.Popen[bytes]
    port: int
    token: str
    log: Path
    server: str

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", headers=headers, trust_env=False, timeout=LIMIT_S)

    def stream(self) -> ClientConnection:
        headers = {"Authorization": f"Bearer {self.token}"}
        return connect(f"ws://127.0.0.1:{self.port}/ws/events/", additional_headers=headers, proxy=None)

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of an event in its log. All of the log is JSON."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in lines if line["event"] == event]


@pytest.fixture(params=SERVERS)
def web(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Web]:
    site = Site(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    _, token = make_token(make_user(Role.ADMIN))
    log = tmp_path / "web.log"
    command = [sys.executable, "manage.py", "runweb", "--port", str(port), "--server", request.param]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=ROOT, env=site.environment, stdout=stream, stderr=stream)
    try:
        until(lambda: _listens(port), process, log)
        yield Web(process, port, token, log, request.param)
    finally:
        process.kill()
        process.wait()


def until(condition: Any, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def read_on(stream: ClientConnection) -> None:
    """Read until there is nothing more. Raises ConnectionClosed."""
    while True:
        stream.recv(LIMIT_S)


def answer_to(message: str | Iterator[str], stream: ClientConnection) -> dict[str, Any]:
    """Send a message that means nothing, and return the answer. Raises ConnectionClosed."""
    stream.send(message)
    while (frame := json.loads(stream.recv(LIMIT_S)))["type"] != "error":
        pass
    answer: dict[str, Any] = frame
    return answer


def test_it_serves_pages_files_answers_and_streams(web: Web) -> None:
    assert web.get("/healthz").status_code == 200
    assert web.get("/admin/login/").status_code == 200
    assert web.get("/static/admin/css/base.css").headers["Content-Type"].startswith("text/css")
    answer = web.get("/api/v1/me", Authorization=f"Bearer {web.token}")
    assert answer.json()["role"] == "admin"
    with web.stream() as stream:
        assert json.loads(stream.recv(LIMIT_S))["type"] == "hello"
        assert stream.response is not None
        # It would cost each socket memory, and each frame time.
        assert "Sec-WebSocket-Extensions" not in stream.response.headers


@pytest.mark.one_database
def test_what_a_client_says_of_its_address_is_not_believed(web: Web) -> None:
    told = {"X-Forwarded-For": "203.0.113.7", "Authorization": "Bearer bbb_unknown"}
    assert web.get("/api/v1/me", **told).status_code == 401
    assert [line["ip"] for line in web.lines("token_refused")] == ["127.0.0.1"]


@pytest.mark.one_database
def test_a_message_that_is_too_long_is_not_taken_in(web: Web) -> None:
    with web.stream() as stream:
        assert answer_to("x" * MOST_RECEIVED, stream)["code"] == "bad_message"
        # In parts, so that no server knows beforehand how long it becomes.
        parts = ("x" * 1024 for _ in range(MOST_RECEIVED // 1024 + 1))
        with pytest.raises(ConnectionClosed):
            answer_to(parts, stream)


def test_nothing_that_is_open_keeps_it_from_stopping(web: Web) -> None:
    headers = {"Authorization": f"Bearer {web.token}"}
    url = f"http://127.0.0.1:{web.port}/api/v1/events/stream"
    with (
        socket.create_connection(("127.0.0.1", web.port)) as unfinished,
        web.stream() as stream,
        httpx.stream("GET", url, headers=headers, trust_env=False, timeout=LIMIT_S) as answer,
    ):
        unfinished.sendall(b"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n")
        assert json.loads(stream.recv(LIMIT_S))["type"] == "hello"
        # Held on to: an iterator that is let go closes the connection.
        pieces = answer.iter_raw()
        assert next(pieces)
        web.process.send_signal(signal.SIGTERM)
        assert web.process.wait(LIMIT_S) in (0, -signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            read_on(stream)
        if web.server == "uvicorn":
            # A client knows that it is a restart, and comes back.
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
            # Over HTTP the answer has its end: it was not cut off.
            list(pieces)
    assert "Traceback" not in web.log.read_text()
