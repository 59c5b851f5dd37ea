"""The web process: which server runs it, and with what options. docs/performance.md says why."""

from __future__ import annotations

import contextlib
import socket

from beebeebrain.backpressure import MOST_RECEIVED

APPLICATION = "beebeebrain.asgi:application"
SERVERS = ("uvicorn", "daphne")
# What is not finished then is cut off; whoever listens goes on from its cursor at the next server.
STOP_S = 5
# After a restart all clients come at once: the last of them have to wait, and Daphne would drop them after 5 s.
HANDSHAKE_S = 30
# A client that has gone without a word is noticed by these; a heartbeat is sent every 15 s besides.
PING_EVERY_S, PING_ANSWER_S = 60, 30


def serve(server: str, *, host: str, port: int) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises OSError where the port is taken."""
    (_serve_uvicorn if server == "uvicorn" else _serve_daphne)(host, port)


def _serve_uvicorn(host: str, port: int) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            from events.hub import hub

            # A stream over HTTP is a request that does not end by itself: each stop would take as long as it may.
            hub().end()
            await super().shutdown(sockets)

    config = uvicorn.Config(
        APPLICATION,
        host=host,
        port=port,
        ws="websockets-sansio",
        # Compression costs each socket memory, and each frame more than to send it.
        ws_per_message_deflate=False,
        ws_max_size=MOST_RECEIVED,
        ws_ping_interval=PING_EVERY_S,
        ws_ping_timeout=PING_ANSWER_S,
        # Django and Channels know no lifespan.
        lifespan="off",
        timeout_graceful_shutdown=STOP_S,
        # Who a request comes from is for `security.addresses` to say: it knows how many proxies are ours.
        proxy_headers=False,
        server_header=False,
        # Its lines go where all others go, and each request has one of ours already.
        log_config=None,
        access_log=False,
    )
    # It has stopped in order by then.
    with contextlib.suppress(KeyboardInterrupt):
        Server(config).run()


def _serve_daphne(host: str, port: int) -> None:
    from daphne.cli import CommandLineInterface

    pings = ["--ping-interval", str(PING_EVERY_S), "--ping-timeout", str(PING_ANSWER_S)]
    patience = ["--websocket_connect_timeout", str(HANDSHAKE_S)]
    CommandLineInterface().run(["-v", "0", "-b", host, "-p", str(port), *pings, *patience, APPLICATION])
