from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from runtime import leases, schedulers
from runtime.models import SchedulerInstance

pytestmark = pytest.mark.django_db


def checks(client: Client) -> tuple[int, dict[str, str]]:
    answer = client.get("/readyz")
    assert answer.json()["status"] == ("ok" if answer.status_code == 200 else "unready")
    return answer.status_code, answer.json()["checks"]


def test_with_everything_there_it_is_ready(client: Client) -> None:
    schedulers.register()
    assert checks(client) == (200, {"database": "ok", "migrations": "ok", "scheduler": "ok"})


def test_without_a_scheduler_it_is_not_ready(client: Client) -> None:
    status, found = checks(client)
    assert status == 503
    assert found == {"database": "ok", "migrations": "ok", "scheduler": "not seen lately: run manage.py runscheduler"}


def test_a_scheduler_that_fell_silent_does_not_count(client: Client) -> None:
    schedulers.register()
    silent_since = leases.now() - timedelta(seconds=3 * settings.LEASE_S + 60)
    SchedulerInstance.objects.update(heartbeat_at=silent_since)
    assert checks(client)[0] == 503


def test_with_a_migration_missing_it_is_not_ready(client: Client) -> None:
    schedulers.register()
    app, last = MigrationLoader(connection).graph.leaf_nodes("security")[0]
    MigrationRecorder(connection).migration_qs.filter(app=app, name=last).delete()
    status, found = checks(client)
    assert (status, found["migrations"]) == (503, "pending: run manage.py initialise")


def test_without_a_database_it_says_so_and_no_more(client: Client) -> None:
    def away(*_: Any) -> Any:
        raise OperationalError("could not connect to 10.0.0.7 as bee")

    with connection.execute_wrapper(away):
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == dict.fromkeys(("database", "migrations", "scheduler"), "unavailable")
    assert b"10.0.0.7" not in answer.content


def test_without_a_database_it_still_lives(client: Client) -> None:
    def away(*_: Any) -> Any:
        raise OperationalError

    with connection.execute_wrapper(away):
        answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_no_answer_is_kept(client: Client, path: str) -> None:
    assert "no-store" in client.get(path)["Cache-Control"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_only_reading_is_allowed(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405
