"""Whether this process answers, and whether it can do its work. For load balancers and people; no login."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from http import HTTPStatus

import structlog
from django.db import Error, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from runtime import schedulers

log = structlog.get_logger("bbb.api")

OK = "ok"


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Say that the process answers."""
    return JsonResponse({"status": OK})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Say whether commands would be accepted and carried out, and if not, what is missing."""
    checks = {name: _result(name, check) for name, check in CHECKS.items()}
    is_ready = all(result == OK for result in checks.values())
    status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
    return JsonResponse({"status": OK if is_ready else "unready", "checks": checks}, status=status)


def _result(name: str, check: Callable[[], str]) -> str:
    try:
        return check()
    except Error:
        # The reason may name hosts and users; it goes to the log alone.
        log.warning("check_failed", check=name, exc_info=True)
        return "unavailable"


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return OK


def _migrations() -> str:
    applied = MigrationRecorder(connection).applied_migrations()
    return OK if _latest_migrations() <= applied.keys() else "pending: run manage.py initialise"


@cache
def _latest_migrations() -> frozenset[tuple[str, str]]:
    """Return the last migration of each app; the code of a process does not change."""
    return frozenset(MigrationLoader(None).graph.leaf_nodes())


def _scheduler() -> str:
    return OK if schedulers.seen_lately() else "not seen lately: run manage.py runscheduler"


CHECKS: dict[str, Callable[[], str]] = {"database": _database, "migrations": _migrations, "scheduler": _scheduler}
