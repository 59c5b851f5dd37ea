"""Reads for people, across tasks and runs."""

from __future__ import annotations

from django.db.models import OuterRef, QuerySet, Subquery

from orchestration.models import Task
from runtime.models import RunLog, TaskRun


def task_rows() -> QuerySet[Task]:
    """Return tasks with all that is shown of them: their edges, and in `active_run` the id of the run under way."""
    active = TaskRun.objects.active().filter(task=OuterRef("pk"))
    return Task.objects.annotate(active_run=Subquery(active.values("pk")[:1])).prefetch_related("dependencies")


def log_lines(run: TaskRun, *, after: int, limit: int) -> QuerySet[RunLog]:
    """Return at most `limit` lines of a run behind line `after`, the oldest first."""
    return RunLog.objects.filter(run=run, seq__gt=after).order_by("seq")[:limit]
