"""The locks of the graph. Their place in the order of all locks: slots, graph, tasks by id, runs, the event log."""

from __future__ import annotations

import time
from collections.abc import Iterable

from django.db import connection

from orchestration.exceptions import Gone
from orchestration.models import Task
from sql.prepared import PreparedQuery

_locked = PreparedQuery(lambda ids: Task.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("id"))

# Any constant will do; nobody else in the database takes advisory locks with it.
_GRAPH_LOCK = 7_788_002
# On SQLite those who wait for the one writer look for it from time to time: between two transactions they must find it free.
_GIVE_WAY_S = 0.002


def lock_graph(project_id: int) -> None:
    """Be the only one, until the transaction ends, that changes what the counters of a project's graph are made of.

    That is: edges, parents, which tasks there are to point to, and which of them are done. Whoever has it may trust
    what a plain read says about them. A cycle made by two edits at once has no row that both of them lock; this is it.
    SQLite has one writer anyway.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_GRAPH_LOCK, project_id % 2**31])


def lock_tasks(ids: Iterable[int]) -> dict[int, Task]:
    """Lock tasks in the order that every transaction uses, and return them as they are now, by id.

    The lock leaves their ids alone (`no_key`): rows that point to them can be inserted meanwhile.
    """
    return {task.pk: task for task in _locked(set(ids))}


def lock_task(task: Task) -> Task:
    """Lock one task and bring it to what is stored now, in one query. Raises Gone."""
    try:
        task.refresh_from_db(from_queryset=Task.objects.select_for_update(no_key=True))
    except Task.DoesNotExist:
        raise Gone from None
    return task


def give_way() -> None:
    """Let other writers in between two transactions of one request."""
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        time.sleep(_GIVE_WAY_S)
