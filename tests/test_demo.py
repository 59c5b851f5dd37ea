"""The demo as a person runs it, killed in the middle and started again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from beebeebrain.demo.project import TASKS, git
from runtime.processes import descendants
from tests.commands import ROOT

LIMIT_S = 400.0

pytestmark = [
    pytest.mark.skipif("DATABASE_URL" in os.environ, reason="the demo has a database of its own"),
    pytest.mark.timeout(900),
]


def start(home: Path, output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "beebeebrain.demo", "--once", "--home", str(home)]
    with output.open("wb") as stream:
        return subprocess.Popen(command, cwd=ROOT, stdout=stream, stderr=stream)


def wait_for(words: str, output: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while words not in output.read_text():
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.05)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the demo alone, and wait until its services have noticed. Its runners are not its children."""
    services = [psutil.Process(pid) for pid in descendants(process.pid)]
    process.kill()
    process.wait()
    _, left = psutil.wait_procs(services, timeout=60)
    assert [service.cmdline() for service in left] == []


def test_a_demo_that_was_killed_finishes_the_same_work_when_it_is_started_again(tmp_path: Path) -> None:
    home, first, second = tmp_path / "demo", tmp_path / "first", tmp_path / "second"
    process = start(home, first)
    wait_for("review → done", first, process)
    kill(process)
    process = start(home, second)
    assert process.wait(LIMIT_S + 60) == 0, second.read_text()
    said = second.read_text()
    for task in TASKS:
        assert re.search(rf"^{task['title']} .* [0-9a-f]{{12}}$", said, re.MULTILINE), said
    # What was done before the kill was not done again.
    merged = git(home / "wordstats", "log", "--format=%s", "main").splitlines()
    assert merged.count("Split a text into words") == 1
    assert "One-time password" in first.read_text()
    assert "One-time password" not in said


def test_ctrl_c_leaves_no_process_of_the_demo(tmp_path: Path) -> None:
    output = tmp_path / "output"
    process = start(tmp_path / "demo", output)
    wait_for("todo → running", output, process)
    process.send_signal(signal.SIGINT)
    process.wait(60)
    left = [
        found for found in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(found.info["cmdline"] or [])
    ]
    assert left == []
