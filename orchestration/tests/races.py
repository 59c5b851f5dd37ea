"""Two at once: threads with connections of their own, and what becomes of each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import connection

from orchestration.exceptions import DomainError

T = TypeVar("T")

_PATIENCE_S = 60.0


def race(*calls: Callable[[], T]) -> list[T | DomainError]:
    """Begin all calls at the same moment; return what each answered, in the order given: a result or a refusal."""
    ready = threading.Barrier(len(calls), timeout=_PATIENCE_S)

    def run(call: Callable[[], T]) -> T | DomainError:
        ready.wait()
        return _outcome(call)

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def meanwhile(call: Callable[[], T]) -> Future[T | DomainError]:
    """Inside a transaction of ours, begin a call; return when it has ended, or waits for what this transaction holds.

    Ask for its result after the transaction. SQLite has one writer: there the call waits in any case.
    """
    future: Future[T | DomainError] = Future()
    threading.Thread(target=_fulfil, args=(future, call), daemon=True).start()
    deadline = time.monotonic() + _PATIENCE_S
    while connection.vendor == "postgresql" and not future.done() and not _is_somebody_waiting():
        assert time.monotonic() < deadline, "the call neither ends nor waits"
        time.sleep(0.005)
    return future


def result(future: Future[Any]) -> Any:
    """Wait for what a call answered: a result or a refusal."""
    return future.result(timeout=_PATIENCE_S)


def _fulfil(future: Future[T | DomainError], call: Callable[[], T]) -> None:
    try:
        future.set_result(_outcome(call))
    except BaseException as error:
        future.set_exception(error)


def _outcome(call: Callable[[], T]) -> T | DomainError:
    try:
        return call()
    except DomainError as refusal:
        return refusal
    finally:
        connection.close()


# Who waits in this database: the server has those of other tests as well. A row's lock names no database, but who waits for
# one holds a table of it.
_WAITING = """
    SELECT count(*) FROM pg_locks AS waited JOIN pg_locks AS other USING (pid) JOIN pg_database ON oid = other.database
    WHERE NOT waited.granted AND datname = current_database()
"""


def _is_somebody_waiting() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_WAITING)
        return bool(cursor.fetchone()[0])
