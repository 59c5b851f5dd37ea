"""Reads for people, across tasks and runs."""

from __future__ import annotations

from typing import Any, cast

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, JSONField, OuterRef, QuerySet, Subquery
from django.db.models.sql.compiler import SQLCompiler

from orchestration.models import Task, TaskDependency, TaskQuerySet
from runtime.models import RunLog, TaskRun


class Ids(Subquery):
    """The ids that a subquery finds in its column `found`, as a list in the order of the subquery."""

    output_field = JSONField()

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, template="(SELECT json_group_array(found) FROM (%(subquery)s))", **extra)

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, template="to_jsonb(ARRAY(%(subquery)s))", **extra)


# Made once: putting them together takes longer than the database does.
_ACTIVE_RUN = Subquery(TaskRun.objects.active().filter(task=OuterRef("pk")).values("pk")[:1])
_EDGES = TaskDependency.objects.filter(task=OuterRef("pk")).order_by("depends_on_id")
_DEPENDS_ON = Ids(_EDGES.values(found=F("depends_on")))


def with_active_run(tasks: QuerySet[Task]) -> QuerySet[Task]:
    """Read with each task, as `active_run`, the id of the run under way."""
    return tasks.annotate(active_run=_ACTIVE_RUN)


def with_edges(tasks: QuerySet[Task]) -> QuerySet[Task]:
    """Read with each task, as `depends_on`, the ids of the tasks it depends on, the lowest first."""
    return tasks.annotate(depends_on=_DEPENDS_ON)


def log_lines(run: TaskRun, *, after: int, limit: int) -> QuerySet[RunLog]:
    """Return at most `limit` lines of a run behind line `after`, the oldest first."""
    return RunLog.objects.filter(run=run, seq__gt=after).order_by("seq")[:limit]
