"""The servers that are compared, each a process of its own that ends with the block it is made in."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from beebeebrain.foreground import Services
from tests.commands import ROOT

OURS, GROUP = "beebeebrain.asgi:application", "benchmarks.sockets.group_send:application"
GRANIAN = ROOT / ".bench" / "granian" / "lib"
LIMIT_S = 60.0


@dataclass(frozen=True)
class Server:
    """A server that listens, and its process."""

    port: int
    process: psutil.Process

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def memory_kib(self) -> float:
        """Return what the process and its children hold alone, with their share of the rest."""
        family = [self.process, *self.process.children(recursive=True)]
        return sum(each.memory_full_info().pss for each in family) / 1024

    def busy_s(self) -> float:
        """Return the processor time used so far."""
        family = [self.process, *self.process.children(recursive=True)]
        return sum(each.cpu_times().user + each.cpu_times().system for each in family)


def has_granian() -> bool:
    """Tell whether `make bench-peers` has installed granian."""
    return GRANIAN.exists()


def command(kind: str, application: str, port: int, *, pings: bool = False) -> list[str]:
    """Return how a server is started: with pings as in production, without them with the same options."""
    python = [sys.executable, "-m"]
    if pings and application == OURS:
        return [sys.executable, str(ROOT / "manage.py"), "runweb", "--port", str(port), "--server", kind]
    match kind:
        case "uvicorn":
            options = ["--ws", "websockets-sansio", "--ws-per-message-deflate", "false", "--lifespan", "off"]
            quiet = ["--no-access-log", "--log-level", "warning", "--ws-ping-interval", "0"]
            return [*python, "uvicorn", application, "--host", "127.0.0.1", "--port", str(port), *options, *quiet]
        case "daphne":
            options = ["-v", "0", "-b", "127.0.0.1", "-p", str(port), "--ping-interval", "0"]
            return [*python, "daphne", *options, application]
        case "granian":
            options = ["--interface", "asginl", "--ws", "--host", "127.0.0.1", "--port", str(port), "--no-access-log"]
            return [*python, "granian", *options, "--log-level", "warning", application]
        case _:
            loop = kind.removeprefix("ceiling-")
            return [*python, "benchmarks.sockets.ceiling", str(port), loop]


@contextlib.contextmanager
def serving(kind: str, application: str = "", *, pings: bool = False) -> Iterator[Server]:
    """Start a server; give it when it answers."""
    more = {"LOG_LEVEL": "ERROR"}
    if kind == "granian":
        [packages] = GRANIAN.glob("python*/site-packages")
        more["PYTHONPATH"] = str(packages)
    port, services = _free_port(), Services({**os.environ, **more})
    with contextlib.closing(_Ending(services)):
        process = services.start("web", command(kind, application, port, pings=pings), output=_log())
        _wait_until_listening(port, services)
        yield Server(port, psutil.Process(process.pid))


class _Ending:
    def __init__(self, services: Services) -> None:
        self.close = services.stop


def _log() -> Path:
    return Path(os.environ["BBB_HOME"]) / "servers.log"


def _wait_until_listening(port: int, services: Services) -> None:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        services.check()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nobody listens on port {port}; {_log()} may say why")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
