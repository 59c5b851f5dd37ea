"""A filled database and a server of its own in front of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from django.db import connection

from beebeebrain.foreground import Services
from benchmarks.web.rows import Contents
from tests.commands import ROOT


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a server listens, and what its database holds."""

    port: int
    holds: Contents


@contextmanager
def stage(size: int, folder: Path) -> Iterator[Stage]:
    """Fill a database with `size` tasks and serve it, in one process as in production, until the block ends."""
    environment = _environment(size, folder)
    fill = [sys.executable, "-m", "benchmarks.web", str(size)]
    filled = subprocess.run(fill, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE)
    port = _free_port()
    services = Services(environment)
    with services.running():
        services.start("web", _server(port))
        services.wait_until_answering(f"http://127.0.0.1:{port}/healthz")
        yield Stage(port, Contents(**json.loads(filled.stdout)))


def _server(port: int) -> list[str]:
    options = [
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
        "--no-access-log",
        "--log-level",
        "warning",
    ]
    return [sys.executable, "-m", "uvicorn", "beebeebrain.asgi:application", *options]


def _environment(size: int, folder: Path) -> dict[str, str]:
    changed = {
        "BBB_HOME": str(folder / f"data-{size}"),
        "DJANGO_SETTINGS_MODULE": "benchmarks.web.settings",
        # Requests are counted as in production, against a limit that is out of reach.
        "BBB_API_PER_MINUTE": "1000000",
    }
    if url := os.environ.get("DATABASE_URL"):
        name = f"benchmark_{size}"
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {connection.ops.quote_name(name)}")
        changed["DATABASE_URL"] = urlsplit(url)._replace(path=f"/{name}").geturl()
    return {**os.environ, **changed}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
