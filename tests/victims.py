"""Requests that are killed on the way: each in a process of its own, over the test's own database.

`python -m tests.victims` sets Django up once and forks a child for each line on its stdin; it has one thread and no
connection to a database, so a fork is safe and takes milliseconds.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import django

from tests.commands import ROOT

Moment = Literal["before", "after"]


@dataclass(frozen=True)
class Request:
    """A POST of a user, and at which statement of the database its process is killed; the commit counts as one."""

    user_id: int
    path: str
    body: dict[str, Any]
    key: str
    step: int
    moment: Moment = "before"


class Victims:
    """Sends requests."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def send(self, request: Request) -> bool:
        """Send a request; tell whether it was killed. One that has fewer statements is answered, with success."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(request)) + "\n")
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

    setup_test_environment()
    # Imports everything that answers, once for all children, and asks no database.
    assert APIClient().get("/healthz").status_code == 200
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os._exit(_perform(Request(**json.loads(line))))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _perform(request: Request) -> int:
    """Send the request to this process; return 0 if it survives and is answered with success."""
    from django.contrib.auth.models import User
    from rest_framework.test import APIClient

    client = APIClient()
    client.force_authenticate(User.objects.get(pk=request.user_id))
    _kill_at(request.step, request.moment)
    answer = client.post(request.path, request.body, format="json", headers={"Idempotency-Key": request.key})
    if answer.status_code < 300:
        return 0
    sys.stderr.write(answer.content.decode())
    return 1


def _kill_at(fatal: int, moment: Moment) -> None:
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


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "beebeebrain.settings")
    django.setup()
    serve()
