"""A server that fails as it is told: what a real one does only on a bad day."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What is answered once; without a status the connection is dropped."""

    status: int | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    text: str | None = None


@dataclass
class BadDay:
    """Answers in turn, the last for ever; notes what it was asked."""

    answers: list[Answer]
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    def keys(self) -> list[str | None]:
        """Return the Idempotency-Keys in their order."""
        return [headers.get("idempotency-key") for _, _, headers in self.asked]


@contextmanager
def serving(*answers: Answer) -> Iterator[BadDay]:
    day = BadDay(list(answers))

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            day.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
            _answer(self, day.answers.pop(0) if len(day.answers) > 1 else day.answers[0])

        do_GET = do_POST = do_PATCH = do_DELETE = handle_any

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        day.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield day
        finally:
            server.shutdown()
            thread.join()


def _answer(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    if answer.status is None:
        handler.close_connection = True
        return
    content = (answer.text if answer.text is not None else json.dumps(answer.body)).encode()
    handler.send_response(answer.status)
    for name, value in {"Content-Length": str(len(content)), **answer.headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(content)
