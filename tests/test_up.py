"""`manage.py up`, which `make run` starts: web and scheduler in the foreground."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from beebeebrain.web import SERVERS
from tests.commands import ROOT

LIMIT_S = 90.0

pytestmark = pytest.mark.skipif("DATABASE_URL" in os.environ, reason="a first start needs an empty database")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def start(home: Path, port: int, output: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "manage.py", "up", "--port", str(port), *options]
    environment = {**os.environ, "BBB_HOME": str(home), "BBB_PROFILE": "development"}
    with output.open("wb") as stream:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=stream, stderr=stream)


def wait_for(words: str, output: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + LIMIT_S
    while words not in (said := output.read_text()):
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.05)
    return said


def is_ready(port: int) -> bool:
    return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200


@pytest.mark.parametrize("server", SERVERS)
def test_one_command_serves_and_one_ctrl_c_stops(tmp_path: Path, server: str) -> None:
    port, output = free_port(), tmp_path / "output"
    process = start(tmp_path / "home", port, output, "--server", server)
    said = wait_for("Ctrl-C stops it.", output, process)
    assert re.search(r"Login: admin   One-time password: \S{12,}", said)
    deadline = time.monotonic() + LIMIT_S
    while not is_ready(port):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    page = httpx.get(f"http://127.0.0.1:{port}/", follow_redirects=True, trust_env=False)
    assert (page.status_code, page.url.path) == (200, "/admin/login/")
    services = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT_S) == 0
    assert psutil.wait_procs(services, timeout=LIMIT_S)[1] == []


def test_services_end_with_a_command_that_is_killed(tmp_path: Path) -> None:
    output = tmp_path / "output"
    process = start(tmp_path / "home", free_port(), output)
    wait_for("Ctrl-C stops it.", output, process)
    services = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    assert services
    assert psutil.wait_procs(services, timeout=LIMIT_S)[1] == []


def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        output = tmp_path / "output"
        process = start(tmp_path / "home", taken.getsockname()[1], output)
        assert process.wait(LIMIT_S) == 2
    assert re.fullmatch(r"CommandError: Port \d+ is taken\. Choose another one with --port\.\n", output.read_text())
