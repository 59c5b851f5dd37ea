"""The rows of a drain and nothing that makes them safe: no plan, no locks, no guards, no redaction, no chain.

As many transactions, the same tables with their indexes, as many events. What is slower than this is our own work.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from events.models import Event
from inbox.models import InboxItem
from orchestration.models import Agent, Project, Task
from orchestration.states import TaskStatus
from runtime import planning
from runtime.models import Slot, TaskRun
from runtime.states import RunStatus
from sql.inserts import insert_all


def run_all(project: Project, agent: Agent) -> int:
    """Bring every task of a project to review; return how many there were."""
    ids, batch = list(project.tasks.filter(status=TaskStatus.TODO).values_list("pk", flat=True)), planning.BATCH
    for first in range(0, len(ids), batch):
        runs = _claim(project, agent, ids[first : first + batch])
        _start(project, runs)
        _finish(project, runs)
    return len(ids)


@transaction.atomic
def _claim(project: Project, agent: Agent, ids: list[int]) -> list[TaskRun]:
    until = timezone.now() + timedelta(seconds=30)
    _move_tasks(ids, TaskStatus.RUNNING)
    runs = [
        TaskRun(task_id=pk, agent=agent, attempt=1, idempotency_key=f"bare-{pk}", owner="bare", lease_until=until)
        for pk in ids
    ]
    insert_all(TaskRun, runs)
    Slot.objects.filter(key="global").update(running=F("running") + len(ids))
    _tell(project, ("task.status.changed", "run.status.changed"), ids)
    return runs


@transaction.atomic
def _start(project: Project, runs: list[TaskRun]) -> None:
    _move_runs(runs, RunStatus.RUNNING)
    _tell(project, ("run.status.changed",), [run.task_id for run in runs])


@transaction.atomic
def _finish(project: Project, runs: list[TaskRun]) -> None:
    ids = [run.task_id for run in runs]
    _move_runs(runs, RunStatus.SUCCEEDED, owner="", lease_until=None)
    _move_tasks(ids, TaskStatus.REVIEW)
    item: dict[str, Any] = {"project": project, "item_type": "task_completed", "title": "Review: Nothing"}
    insert_all(InboxItem, [InboxItem(task_id=pk, dedupe_key=f"review:{pk}", content="Did it.", **item) for pk in ids])
    Slot.objects.filter(key="global").update(running=F("running") - len(ids))
    _tell(project, ("run.status.changed", "task.status.changed", "inbox.item.created"), ids)


def _move_tasks(ids: list[int], to: TaskStatus) -> None:
    Task.objects.filter(pk__in=ids).update(status=to, version=F("version") + 1)


def _move_runs(runs: list[TaskRun], to: RunStatus, **changes: Any) -> None:
    ids = [run.pk for run in runs]
    TaskRun.objects.filter(pk__in=ids).update(status=to, version=F("version") + 1, **changes)


def _tell(project: Project, types: Iterable[str], ids: list[int]) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("NOTIFY bare")
    payload = {"before": "queued", "after": "running", "attempt": 1, "epoch": 1, "reason": "", "error_code": ""}
    now, own = timezone.now(), {"project_id": project.pk, "actor": "bare", "trace_id": "bare", "payload": payload}
    insert_all(Event, [Event(at=now, type=type_, task_id=pk, **own) for type_ in types for pk in ids])
