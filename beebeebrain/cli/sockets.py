"""A WebSocket that is only listened to: a thousand of them cost one process little.

It reads what a server sends (RFC 6455), answers pings and closings, and hands each text on as the bytes it came in.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import cast
from urllib.parse import urlsplit

from beebeebrain.cli.errors import Unreachable

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PING = 1, 8, 9
_LENGTH_16, _LENGTH_64 = 126, 127
_CONTROL, _FINAL = 8, 0x80
# No frame of ours is nearly as long.
MOST_BYTES = 16 * 1024 * 1024
_HEAD_LIMIT = 65_536
HANDSHAKE_S = 30.0
# As the protocol has it for a connection that broke off.
_LOST = 1006

OnText = Callable[[bytes], None]


class Listener(asyncio.Protocol):
    """One connection. `on_text` is called with the bytes of each text; `closed` is the code it ended with, None while it lives."""

    def __init__(self, request: bytes, accept: bytes, on_text: OnText) -> None:
        self.closed: int | None = None
        self.ended = asyncio.Event()
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request, self._accept = request, accept
        self._on_text = on_text
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._parts: list[bytes] = []
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        buffer = self._rest + data if self._rest else data
        self._rest = b""
        if not self._is_open:
            buffer = self._shake_hands(buffer)
        if self._is_open:
            self._rest = self._read(buffer)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = self.closed or _LOST
        self.ended.set()
        self._fail("the connection was closed")

    def pause(self) -> None:
        """Read no more, as a client does that has stalled."""
        if self._transport is not None:
            self._transport.pause_reading()

    def close(self) -> None:
        """End the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    def _shake_hands(self, buffer: bytes) -> bytes:
        """Return what follows the server's answer, once that is complete."""
        head, found, rest = buffer.partition(b"\r\n\r\n")
        if not found:
            self._rest = buffer[:_HEAD_LIMIT]
            return b""
        status = head.split(b" ", 2)[1:2]
        if status != [b"101"] or self._accept not in head:
            self._fail(f"it answers {(head.splitlines() or [b''])[0].decode(errors='replace')}")
            self.close()
            return b""
        self._is_open = True
        if not self.opened.done():
            self.opened.set_result(None)
        return rest

    def _fail(self, why: str) -> None:
        if not self.opened.done():
            self.opened.set_exception(Unreachable(f"The server accepts no WebSocket: {why}."))

    def _read(self, buffer: bytes) -> bytes:
        """Hand on each whole frame; return what is left of the last one."""
        at, end = 0, len(buffer)
        while end - at >= 2:
            first, length, head = buffer[at], buffer[at + 1], 2
            if length == _LENGTH_16:
                length, head = int.from_bytes(buffer[at + 2 : at + 4]), 4
            elif length == _LENGTH_64:
                length, head = int.from_bytes(buffer[at + 2 : at + 10]), 10
            if end - at < head or end - at < head + length:
                break
            content = buffer[at + head : at + head + length]
            at += head + length
            if first == _TEXT | _FINAL:
                self._on_text(content)
            else:
                self._take(first, content)
        rest = buffer[at:]
        if len(rest) > MOST_BYTES:
            self.close()
        return rest

    def _take(self, first: int, content: bytes) -> None:
        """Take a frame that is not a whole text."""
        opcode = first & 0x0F
        if opcode == _PING:
            self._send(0x8A, content)
        elif opcode == _CLOSE:
            self.closed = int.from_bytes(content[:2]) if len(content) >= 2 else _LOST
            self._send(0x88, content[:2])
        elif opcode < _CONTROL:
            self._parts.append(content)
            if first & _FINAL:
                whole, self._parts = b"".join(self._parts), []
                self._on_text(whole)

    def _send(self, first: int, content: bytes) -> None:
        """Send a short frame, masked by zeros: what is said is no secret."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(bytes([first, 0x80 | len(content)]) + bytes(4) + content)


async def listen(
    url: str, headers: Mapping[str, str], on_text: OnText, *, buffered_bytes: int | None = None
) -> Listener:
    """Open a WebSocket at an `http(s)` or `ws(s)` address. Raises Unreachable.

    `buffered_bytes` bounds what the system takes in for us while we do not read; without, that is for the system to say.
    """
    parts = urlsplit(url)
    is_secure = parts.scheme in ("https", "wss")
    address = (parts.hostname or "", parts.port or (443 if is_secure else 80))
    request, accept = _handshake(parts.netloc, f"{parts.path}?{parts.query}", headers)
    try:
        async with asyncio.timeout(HANDSHAKE_S):
            connected = await _connect(address, buffered_bytes)
            _, listener = await asyncio.get_running_loop().create_connection(
                lambda: Listener(request, accept, on_text),
                sock=connected,
                ssl=ssl.create_default_context() if is_secure else None,
                server_hostname=parts.hostname if is_secure else None,
            )
            await listener.opened
    except (OSError, TimeoutError) as error:
        what = str(error) or "it does not answer in time"
        raise Unreachable(
            f"The server accepts no WebSocket: {what}. Is it running, and does a proxy let it through?"
        ) from error
    return listener


async def _connect(address: tuple[str, int], buffered_bytes: int | None) -> socket.socket:
    """Return a connected socket. Raises OSError."""
    loop = asyncio.get_running_loop()
    error: OSError = OSError("the name leads nowhere")
    for family, kind, protocol, _, found in await loop.getaddrinfo(*address, type=socket.SOCK_STREAM):
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        if buffered_bytes is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffered_bytes)
        try:
            await loop.sock_connect(made, found)
        except OSError as raised:
            made.close()
            error = raised
        except BaseException:
            made.close()
            raise
        else:
            return made
    raise error


def _handshake(host: str, target: str, headers: Mapping[str, str]) -> tuple[bytes, bytes]:
    key = base64.b64encode(os.urandom(16))
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324  (the protocol's own, no secret)
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: {host}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key.decode()}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode(), accept
