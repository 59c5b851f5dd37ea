"""django-q2 on SQLite, as durable as we are: `run_djangoq2.py drain COUNT`, one worker, jobs that do nothing."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import django
from django.conf import settings

_PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"


def _configure() -> None:
    options = {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": _PRAGMAS}
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(Path(os.environ["PEER_HOME"]) / "queue.sqlite3")}
    # save_limit 0: nothing is pruned, as we prune nothing; bulk 10 is faster than the default of 1.
    cluster = {"name": "peer", "workers": 1, "orm": "default", "poll": 0.2, "bulk": 10, "save_limit": 0}
    settings.configure(
        INSTALLED_APPS=["django_q"],
        DATABASES={"default": database | {"OPTIONS": options}},
        USE_TZ=True,
        SECRET_KEY="peer",
        Q_CLUSTER=cluster | {"timeout": 60, "retry": 120, "log_level": "ERROR"},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()


def _drain(count: int) -> dict[str, Any]:
    from django.core.management import call_command
    from django_q.cluster import Cluster
    from django_q.models import Success
    from django_q.tasks import async_task

    call_command("migrate", verbosity=0)
    before = Success.objects.count()
    for _ in range(count):
        async_task("time.time")
    cluster = Cluster()
    cluster.start()
    _until(lambda: Success.objects.count() > before)
    first, began = Success.objects.count(), time.monotonic()
    _until(lambda: Success.objects.count() >= before + count)
    elapsed = time.monotonic() - began
    cluster.stop()
    return {"per_second": (before + count - first) / elapsed}


def _until(look: Any) -> None:
    while not look():
        time.sleep(0.02)


if __name__ == "__main__":
    _configure()
    said = {"drain": _drain}[sys.argv[1]](int(sys.argv[2]))
    sys.stdout.write(json.dumps(said) + "\n")
