"""A web process as it runs, with a client that does not read."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from websockets.sync.client import ClientConnection, unix_connect

from beebeebrain.foreground import CODE

# Reached only when something is broken.
PATIENCE_S = 60.0
EVENTS = 1000

SEED = f"""
import django; django.setup()
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone
from events.models import Event
from security.services import create_token
call_command("migrate", verbosity=0)
text = "x" * 20_000
Event.objects.bulk_create(
    Event(at=timezone.now(), type="alert.raised", actor="test", trace_id="t", payload={{"text": text}})
    for _ in range({EVENTS})
)
_, token = create_token(User.objects.create_superuser("root"), name="test", scopes=["read"], actor="test")
print(token)
"""

HANDSHAKE = """GET /ws/events/?after=0 HTTP/1.1\r
Host: localhost\r
Upgrade: websocket\r
Connection: Upgrade\r
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
Sec-WebSocket-Version: 13\r
X-Trace-ID: stalled\r
Authorization: Bearer {}\r
\r
"""


class Web(NamedTuple):
    process: subprocess.Popen[bytes]
    address: str
    token: str
    log: Path


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    home = {"BBB_HOME": str(tmp_path), "DATABASE_URL": "", "DJANGO_SETTINGS_MODULE": "beebeebrain.settings"}
    environment = {**os.environ, **home}
    seed = [sys.executable, "-c", SEED]
    token = subprocess.run(seed, cwd=CODE, env=environment, check=True, capture_output=True, text=True).stdout.strip()
    address, log = str(tmp_path / "web"), tmp_path / "log"
    command = [sys.executable, "-m", "daphne", "-u", address, "beebeebrain.asgi:application"]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=CODE, env=environment, stdout=stream, stderr=stream)
    try:
        wait_for(lambda: Path(address).exists() or process.poll() is not None)
        yield Web(process, address, token, log)
    finally:
        process.kill()
        process.wait()


def wait_for(condition: object) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def closed_at(log: Path, trace_id: str) -> int | None:
    """Return the cursor with which a stream ended, None while it is open."""
    lines = (json.loads(line) for line in log.read_text().splitlines() if line.startswith("{"))
    ends = (line for line in lines if line["event"] == "event_stream_closed" and line["trace_id"] == trace_id)
    return next((line["cursor"] for line in ends), None)


def ids(stream: ClientConnection) -> Iterator[int]:
    """Read the ids of events; on a slow machine a heartbeat comes between them."""
    while True:
        frame = json.loads(stream.recv(PATIENCE_S))
        if frame["type"] == "event":
            yield frame["id"]


def test_a_client_that_does_not_read_holds_up_nobody_and_nothing(web: Web) -> None:
    headers = {"Authorization": f"Bearer {web.token}"}
    with (
        socket.socket(socket.AF_UNIX) as stalled,
        unix_connect(
            web.address, "ws://localhost/ws/events/?after=0", additional_headers=headers, proxy=None
        ) as stream,
    ):
        stalled.connect(web.address)
        stalled.sendall(HANDSHAKE.format(web.token).encode())
        assert list(itertools.islice(ids(stream), EVENTS)) == list(range(1, EVENTS + 1))
        stalled.close()
        wait_for(lambda: closed_at(web.log, "stalled") is not None)
        # Those that were sent fill the buffers; the others were never read for it.
        assert (closed_at(web.log, "stalled") or 0) < EVENTS / 2
        web.process.send_signal(signal.SIGTERM)
        assert web.process.wait(PATIENCE_S) == 0
