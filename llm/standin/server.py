"""The stand-in as an HTTP server on 127.0.0.1: a thread per connection, nothing but the standard library.

`http://127.0.0.1:PORT` plays the only scenario (or the one called `default`), `http://127.0.0.1:PORT/s/NAME` the one
of that name. Headers are never logged.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import struct
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llm.standin import answers, scenario
from llm.standin.answers import NoWorkingDirectory
from llm.standin.conversation import NoPart
from llm.standin.play import Play, Reply
from llm.standin.scenario import STATUSES, Scenario, Step

MAX_BODY = 64 * 1024 * 1024
_POLL_S = 0.2
# Longer than any client waits; a fault of silence must not hold a thread for ever.
_SILENCE_S = 3600.0

Json = dict[str, Any]


@dataclass(frozen=True)
class Recorded:
    """A request as it came. Headers stay out of the repr, because they hold the client's key."""

    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    body: Json = field(repr=False)


class StandIn:
    """A stand-in that plays scenarios. Give it a file, a directory, or scenarios; use it as a context manager."""

    def __init__(
        self,
        source: Path | Scenario | Iterable[Scenario],
        *,
        port: int = 0,
        record: bool = True,
        log: Callable[[str], None] | None = None,
    ) -> None:
        """Read the scenarios. Raises InvalidScenario."""
        self.plays = {name: Play(found) for name, found in _scenarios(source).items()}
        self.requests: list[Recorded] = []
        self.record = record
        self.log = log or (lambda line: None)
        self.stopping = threading.Event()
        self._port = port
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """The base URL of the only scenario, or of the one called `default`. Raises RuntimeError when not started."""
        if self._server is None:
            raise RuntimeError("the stand-in is not running")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def url_of(self, name: str) -> str:
        """Return the base URL that plays one scenario by name. Raises KeyError when there is none."""
        return f"{self.url}/s/{self.plays[name].scenario.name}"

    def start(self) -> Self:
        """Listen, and answer in threads of its own. Raises OSError when the port is taken."""
        self.stopping.clear()
        self._server = _Server(self, self._port)
        threading.Thread(target=self._server.serve_forever, args=(_POLL_S / 4,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Close every connection and the port. Stopping twice is harmless."""
        self.stopping.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.close_connections()
            self._server.server_close()
            self._server = None

    def play(self, name: str | None) -> Play | None:
        """Return the scenario of that name; without one, the only one or `default`."""
        if name is not None:
            return self.plays.get(name)
        return next(iter(self.plays.values())) if len(self.plays) == 1 else self.plays.get("default")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


def _scenarios(source: Path | Scenario | Iterable[Scenario]) -> dict[str, Scenario]:
    if isinstance(source, Path):
        return scenario.load(source)
    return scenario.by_name([source] if isinstance(source, Scenario) else source)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, standin: StandIn, port: int) -> None:
        self.standin = standin
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what is ours; a client that was killed in the middle of an answer is an ordinary thing here."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            self.standin.log("".join(traceback.format_exception(error)))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    request_id = "req_scripted"
    server: _Server

    def do_HEAD(self) -> None:
        self._send(200, b"", "text/plain")

    def do_GET(self) -> None:
        self._error("not_found_error", f"{self.path} is not part of the stand-in")

    def do_POST(self) -> None:
        standin = self.server.standin
        self.request_id = f"req_scripted_{uuid.uuid4().hex[:12]}"
        raw = self._read()
        if raw is None:
            return
        try:
            body = json.loads(raw)
            if not isinstance(body, dict):
                raise ValueError("the body is no object")
        except ValueError as error:
            self._error("invalid_request_error", f"not JSON: {error}")
            return
        if standin.record:
            standin.requests.append(Recorded("POST", self.path, dict(self.headers.items()), body))
        self._route(body, len(raw))

    def _route(self, body: Json, asked: int) -> None:
        name, path = _split(self.path)
        play = self.server.standin.play(name)
        if play is None:
            self._error("not_found_error", f"no such scenario; there are: {', '.join(self.server.standin.plays)}")
        elif path == "/v1/messages":
            self._messages(play, body, asked)
        elif path == "/v1/messages/count_tokens":
            self._json(200, {"input_tokens": -(-asked // 4)})
        else:
            self._error("not_found_error", f"{self.path} is not part of the stand-in")

    def _messages(self, play: Play, body: Json, asked: int) -> None:
        try:
            reply = play.reply(body, asked=asked)
        except (NoPart, NoWorkingDirectory) as error:
            self._error("invalid_request_error", str(error))
            return
        fault = reply.step.fault if reply.step else None
        streamed = bool(body.get("stream"))
        self.server.standin.log(f"{play.scenario.name}: {reply.place}{f' {fault}' if fault else ''}")
        if reply.step and reply.step.delay_s and not self._wait(reply.step.delay_s):
            return
        if fault is None:
            self._stream(reply.message) if streamed else self._json(200, reply.message)
        else:
            self._fault(reply, streamed)

    def _fault(self, reply: Reply, streamed: bool) -> None:
        step, fault = reply.step, reply.step and reply.step.fault
        if step is None:
            raise ValueError("a reply outside the script has no fault")
        if fault in STATUSES:
            self._status(step)
        elif fault == "silence":
            self._wait(_SILENCE_S)
        elif fault == "silence_after_headers":
            self._open_stream()
            self._wait(_SILENCE_S)
        elif fault == "html":
            self._send(200, b"<html><body>Scripted: not the API.</body></html>", "text/html")
        elif fault == "malformed":
            broken = b'event: message_start\ndata: {"type": "message_start", "message": \n\n'
            self._send(200, broken, "text/event-stream" if streamed else "application/json")
        elif fault == "drop" or not streamed:
            # Half a message cannot be half a stream; without a stream all breaks look alike.
            self._wait(_SILENCE_S) if fault == "silence_mid_stream" else self._drop()
        else:
            self._break(reply.message, str(fault))

    def _break(self, message: Json, fault: str) -> None:
        self._open_stream()
        for name, data in list(answers.events(message))[:-2]:
            self._chunk(answers.encode(name, data))
        if fault == "error_mid_stream":
            error = answers.error("overloaded_error", "Scripted: overloaded.", request_id=self.request_id)
            self._chunk(answers.encode("error", error))
            self._chunk(b"")
        elif fault == "silence_mid_stream":
            self._wait(_SILENCE_S)
        else:
            self._drop()

    def _stream(self, message: Json) -> None:
        self._open_stream()
        for name, data in answers.events(message):
            self._chunk(answers.encode(name, data))
        self._chunk(b"")

    def _open_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("request-id", self.request_id)
        self.end_headers()

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _status(self, step: Step) -> None:
        headers = {} if step.retry_after_s is None else {"retry-after": str(step.retry_after_s)}
        text = step.message or f"Scripted: {step.fault}."
        self._error(str(step.fault), text, status=answers.status(step), headers=headers)

    def _error(self, kind: str, text: str, *, status: int = 0, headers: dict[str, str] | None = None) -> None:
        body = answers.error(kind, text, request_id=self.request_id)
        self._json(status or STATUSES[kind], body, headers)

    def _json(self, status: int, body: Json, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(body).encode(), "application/json", headers)

    def _send(self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        lines = {"Content-Type": kind, "Content-Length": str(len(body)), "request-id": self.request_id}
        for name, value in (lines | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _read(self) -> bytes | None:
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if 0 <= length <= MAX_BODY:
            return self.rfile.read(length)
        self.close_connection = True
        kind, text = (
            ("request_too_large", "the body is too large") if length > 0 else ("invalid_request_error", "no length")
        )
        self._error(kind, text, headers={"Connection": "close"})
        return None

    def _wait(self, seconds: float) -> bool:
        """Wait while the client listens. False, with the connection closed, when it or the stand-in went away."""
        until = time.monotonic() + seconds
        while not self.server.standin.stopping.is_set():
            left = until - time.monotonic()
            if left <= 0:
                return True
            readable, _, _ = select.select([self.connection], [], [], min(left, _POLL_S))
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                break
        self.close_connection = True
        return False

    def _drop(self) -> None:
        """Reset the connection, as a proxy that dies does."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        os.close(self.connection.detach())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: what is worth a line is logged by name of scenario and step."""


def _split(path: str) -> tuple[str | None, str]:
    """Return the scenario's name, if the path has one, and the path of the API."""
    path = path.partition("?")[0]
    if not path.startswith("/s/"):
        return None, path
    name, _, rest = path.removeprefix("/s/").partition("/")
    return name, f"/{rest}"
