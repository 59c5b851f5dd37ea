"""The agenda: which steps of a round may find something to do. One question to the database, however many steps there are."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet

from inbox.models import InboxItem
from llm.models import Breaker
from orchestration.models import Task
from runtime.models import TaskRun
from runtime.states import RunStatus
from runtime.stuck import delivery


class Agenda(NamedTuple):
    """The steps of a round, by their names. What is not on the agenda would find nothing; what is may still be too early."""

    promote: bool = True
    deliver: bool = True
    land: bool = True
    dispatch: bool = True

    @property
    def is_timed(self) -> bool:
        """Whether something may come due by itself."""
        return self.promote or self.dispatch


def look(owner: str) -> Agenda:
    """Return what is on the agenda of a scheduler."""
    with connection.cursor() as cursor:
        cursor.execute(*_question(owner))
        return Agenda(*(bool(answer) for answer in cursor.fetchone()))


@lru_cache(maxsize=16)
def _question(owner: str) -> tuple[str, tuple[Any, ...]]:
    """Return the question as SQL. Making it takes twenty times as long as asking it."""
    asked = [[_exists(rows) for rows in step] for step in _steps(owner)]
    columns = [" OR ".join(sql for sql, _ in step) for step in asked]
    return f"SELECT {', '.join(columns)}", tuple(value for step in asked for _, values in step for value in values)


def _steps(owner: str) -> tuple[list[QuerySet[Any]], ...]:
    """Return, for each step, the rows that it would do something about, now or later: nothing here may depend on the time."""
    # Not by a join: SQLite might look through all tasks for one with such a run.
    runs = TaskRun.objects.exclude(Exists(Task.objects.filter(pk=OuterRef("task_id"), is_held=True)))
    return (
        [
            runs.filter(status=RunStatus.RETRY_SCHEDULED),
            Breaker.objects.not_closed().filter(trial_run_id__isnull=False),
        ],
        [InboxItem.objects.undelivered(), delivery.pending(owner)],
        [Task.objects.filter(approved_at__isnull=False)],
        [runs.unowned(), Task.objects.ready()],
    )


def _exists(rows: QuerySet[Any]) -> tuple[str, tuple[Any, ...]]:
    sql, values = rows.order_by().values("pk")[:1].query.sql_with_params()
    return f"EXISTS ({sql})", values
