"""Requests and services that are killed on the way: each in a process of its own, over the test's own database.

`python -m tests.victims` sets Django up once and forks a child for each line on its stdin; it has one thread and no
connection to a database, so a fork is safe and takes milliseconds.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import django

from tests.commands import ROOT

Moment = Literal["before", "after"]

LIMIT_S = 90.0


@dataclass(frozen=True)
class Request:
    """A POST of a user, and at which statement of the database its process is killed; the commit counts as one."""

    user_id: int
    path: str
    body: dict[str, Any]
    key: str
    step: int
    moment: Moment = "before"


@dataclass(frozen=True)
class Call:
    """A deed of tests/deeds.py done to a task, and at which statement of the database its process is killed."""

    deed: str
    task_id: int
    step: int
    moment: Moment = "before"


class Victims:
    """Sends requests, and has services called."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def send(self, order: Request | Call) -> bool:
        """Send a request or a call; tell whether it was killed. One that has fewer statements ends with success."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        assert code in (0, -signal.SIGKILL), code
        return code != 0


@contextmanager
def victims(environment: Mapping[str, str]) -> Iterator[Victims]:
    """Start the process that forks. `environment` leads to the test's database."""
    command = [sys.executable, "-m", "tests.victims"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env={**environment}, stdin=pipe, stdout=pipe, text=True) as process:
        yield Victims(process)
        assert process.stdin is not None
        process.stdin.close()
    assert process.returncode == 0


def serve() -> None:
    """Fork a child for each request on stdin, and write its exit status to stdout."""
    from django.test.utils import setup_test_environment
    from rest_framework.test import APIClient

    import tests.deeds  # noqa: F401  (once for all children)
    from tests import statics

    statics.pytest_configure()
    setup_test_environment()
    # Imports everything that answers, once for all children, and asks no database.
    assert APIClient().get("/healthz").status_code == 200
    gc.freeze()  # what the children share with us stays shared
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os._exit(_obey(json.loads(line)))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _obey(order: dict[str, Any]) -> int:
    return _call(Call(**order)) if "deed" in order else _perform(Request(**order))


def _call(call: Call) -> int:
    """Do the deed in this process; return 0 if it survives."""
    from orchestration.models import Task
    from tests.deeds import DEEDS

    task = Task.objects.get(pk=call.task_id)
    kill_at(call.step, call.moment)
    DEEDS[call.deed].act(task)
    return 0


def _perform(request: Request) -> int:
    """Send the request to this process; return 0 if it survives and is answered with success."""
    from django.contrib.auth.models import User
    from rest_framework.test import APIClient

    client = APIClient()
    client.force_authenticate(User.objects.get(pk=request.user_id))
    kill_at(request.step, request.moment)
    answer = client.post(request.path, request.body, format="json", headers={"Idempotency-Key": request.key})
    if answer.status_code < 300:
        return 0
    sys.stderr.write(answer.content.decode())
    return 1


def kill_at(fatal: int, moment: Moment) -> None:
    """Kill this process before or after a statement: the first one from now on is 1."""
    from django.db import connection

    steps = itertools.count(1)

    def watched(execute: Callable[..., Any], *args: Any) -> Any:
        step = next(steps)
        if (step, moment) == (fatal, "before"):
            os.kill(os.getpid(), signal.SIGKILL)
        done = execute(*args)
        if (step, moment) == (fatal, "after"):
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    wrapped: Any = connection
    wrapped.execute_wrappers.append(watched)
    wrapped._commit = partial(watched, wrapped._commit)


def wait_for_end_of_victim() -> None:
    """Wait until PostgreSQL has seen that the process is gone, and has undone what it did."""
    from django.db import connection

    deadline = time.monotonic() + LIMIT_S
    while connection.vendor == "postgresql" and _others_connected():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def _others_connected() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        return int(cursor.fetchone()[0])


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "beebeebrain.settings")
    django.setup()
    serve()
