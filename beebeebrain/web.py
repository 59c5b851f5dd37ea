"""The web process: which server runs it, and with what options. docs/performance.md says why."""

from __future__ import annotations

from beebeebrain.backpressure import MOST_RECEIVED

APPLICATION = "beebeebrain.asgi:application"
SERVERS = ("uvicorn", "daphne")
# What is not finished then is cut off; whoever listens goes on from its cursor at the next server.
STOP_S = 5
# A client that has gone without a word is noticed by these; a heartbeat is sent every 15 s besides.
PING_EVERY_S, PING_ANSWER_S = 60, 30


def serve(server: str, *, host: str, port: int) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises OSError where the port is taken."""
    (_serve_uvicorn if server == "uvicorn" else _serve_daphne)(host, port)


def _serve_uvicorn(host: str, port: int) -> None:
    import uvicorn

    uvicorn.run(
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


def _serve_daphne(host: str, port: int) -> None:
    from daphne.cli import CommandLineInterface

    pings = ["--ping-interval", str(PING_EVERY_S), "--ping-timeout", str(PING_ANSWER_S)]
    CommandLineInterface().run(["-v", "0", "-b", host, "-p", str(port), *pings, APPLICATION])
