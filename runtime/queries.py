"""Reads for people, across tasks and runs."""

from __future__ import annotations

from django.db.models import F, OuterRef, QuerySet

from api.annotations import Ids, Number
from orchestration.models import Task, TaskDependency
from orchestration.states import TaskStatus
from runtime.models import RunLog, TaskRun
from security.subqueries import CompiledOnce

_RUNS = TaskRun.objects.active().filter(task=OuterRef("pk")).order_by()
_EDGES = TaskDependency.objects.filter(task=OuterRef("pk")).order_by("depends_on_id")
# Direct ones only; what was cancelled is not wanted any more and counts for nothing.
_SUBTASKS = Task.objects.filter(parent=OuterRef("pk")).exclude(status=TaskStatus.CANCELLED).order_by()
# What is shown of a task besides its columns: its active run, the tasks it depends on, and how far its subtasks are.
OF_A_TASK = {
    "active_run": CompiledOnce(_RUNS.values("pk")[:1]),
    "depends_on": Ids(_EDGES.values(found=F("depends_on"))),
    "subtasks_total": Number(_SUBTASKS.values("pk")),
    "subtasks_done": Number(_SUBTASKS.filter(status=TaskStatus.DONE).values("pk")),
}


def log_lines(run: TaskRun, *, after: int, limit: int) -> QuerySet[RunLog]:
    """Return at most `limit` lines of a run behind line `after`, the oldest first."""
    return RunLog.objects.filter(run=run, seq__gt=after).order_by("seq")[:limit]
