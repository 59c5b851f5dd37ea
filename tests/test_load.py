"""`bbb load events` against a real server, and against servers that lose, repeat and swap events."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from events.models import Event
from orchestration.tests.factories import make_project
from security.roles import Role
from security.services import create_token
from security.tests.factories import ACTOR, make_user
from tests.commands import ROOT
from tests.schedulers import Site

# The program knows nothing but the API.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_database]

LIMIT_S = 90.0
RATE, CLIENTS, SECONDS = 200, 5, 0.5


@contextmanager
def serving(site: Site, application: str) -> Iterator[str]:
    """Serve an application over the test's database; give its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--host", "127.0.0.1", "--port", str(port), "--ws", "websockets-sansio", "--log-level", "warning"]
    with (site.home / "web.log").open("wb") as log:
        command = [sys.executable, "-m", "uvicorn", application, *options]
        process = subprocess.Popen(command, cwd=ROOT, env=site.environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + LIMIT_S
        while not _answers(url):
            assert process.poll() is None, (site.home / "web.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(LIMIT_S)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def load(site: Site, url: str, *more: str, scopes: tuple[str, ...] = ("read", "events")) -> tuple[int, Any, str]:
    """Run `bbb load events` as an operator's tool; return its status and what it says."""
    user = make_user(Role.OPERATOR)
    _, text = create_token(user, name="load", scopes=list(scopes), actor=ACTOR)
    options = ["--rate", str(RATE), "--clients", str(CLIENTS), "--seconds", str(SECONDS), "--patience", "5", *more]
    done = subprocess.run(
        [sys.executable, "-m", "beebeebrain.cli", "load", "events", "--json", *options],
        cwd=ROOT,
        env=site.environment | {"BBB_URL": url, "BBB_TOKEN": text},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


@pytest.fixture
def site(tmp_path: Path) -> Site:
    make_project(tmp_path / "repo")
    return Site(tmp_path)


def test_everything_arrives_once_and_in_order(site: Site) -> None:
    with serving(site, "beebeebrain.asgi:application") as url:
        status, found, said = load(site, url)
    assert status == 0, (said, json.dumps(found), (site.home / "web.log").read_text())
    written = Event.objects.filter(type="load.probe")
    assert found["sent"] == written.count() > 0
    assert (found["lost"], found["duplicates"], found["out_of_order"], found["closed_early"]) == (0, 0, 0, 0)
    assert found["delivered"] == CLIENTS * found["sent"]
    assert all(value is not None for took in found["milliseconds"].values() for value in took.values())
    assert [event.payload["number"] for event in written.order_by("id")] == list(range(found["sent"]))


@pytest.mark.parametrize(
    ("application", "fault"), [("losing", "lost"), ("repeating", "duplicates"), ("swapping", "out_of_order")]
)
def test_what_a_server_does_wrong_is_counted_and_told_by_the_status(site: Site, application: str, fault: str) -> None:
    with serving(site, f"tests.lossy:{application}") as url:
        status, found, said = load(site, url, "--patience", "0.5")
    assert status == 1, said
    faults = {name: found[name] for name in ("lost", "duplicates", "out_of_order")}
    assert faults == {"lost": 0, "duplicates": 0, "out_of_order": 0} | {fault: CLIENTS}


def test_without_the_scope_nothing_is_written_and_it_says_why(site: Site) -> None:
    with serving(site, "beebeebrain.asgi:application") as url:
        status, found, said = load(site, url, scopes=("read",))
    assert (status, found, json.loads(said)["code"]) == (3, None, "permission_denied")
    assert not Event.objects.filter(type="load.probe").exists()


def test_without_a_server_it_says_so(site: Site) -> None:
    status, _, said = load(site, "http://127.0.0.1:9")
    assert (status, json.loads(said)["code"]) == (6, "unreachable")
