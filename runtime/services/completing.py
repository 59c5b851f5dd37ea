"""Complete: what follows when agents have done their work, for several runs at once. Each has its own guard.

Everything here runs inside the transaction of `finishing`, which holds the slots and the tasks.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import F
from django.utils import timezone

from inbox import services as inbox
from inbox.states import ItemType
from orchestration.models import Task
from orchestration.services import comments
from orchestration.services.tasks import move_locked_tasks
from orchestration.states import TaskStatus
from runtime.exceptions import StaleRun
from runtime.models import TaskRun
from runtime.rundir import ExitRecord
from runtime.services.moves import record_move, remember
from runtime.services.settling import amounts
from runtime.states import RunStatus
from sql.recordset import dumped, recordset

COMPLETED = frozenset({"finished", "unreported"})
"""The outcomes of work that is there to be looked at."""

_WITHOUT_REPORT = "The agent ended without a report; read the diff with care.\n\n"

_FENCE = ("epoch", "owner")
_PLAIN = ("session_id", "summary", "head_commit")
_ADDED = ("token_in", "token_out", "token_cache_read", "token_cache_write", "turns", "cost_usd", "worked_s")
# What the database works out, and what a run that has ended holds no more.
_WORKED_OUT = {name: F(name) for name in (*_ADDED, "version")}
_FREED = {"owner": "", "lease_until": None, "next_retry_at": None}


@dataclass(frozen=True)
class Ending:
    """How a start of a run ended."""

    run: TaskRun
    record: ExitRecord
    head_commit: str = ""


def complete(endings: Collection[Ending], *, actor: str) -> None:
    """Bring completed runs and their tasks to where people look at the work. Raises StaleRun when one was superseded."""
    now = timezone.now()
    _end_runs(endings, now, actor=actor)
    comments.mark_addressed([ending.run.task for ending in endings])
    approved = [ending for ending in endings if _is_approved(ending)]
    asked = [ending for ending in endings if not _is_approved(ending)]
    _move_to_review(approved, actor=actor, approved_at=now)
    _move_to_review(asked, actor=actor, approved_at=None)
    if asked:
        inbox.ask_about_each(ItemType.TASK_COMPLETED, [_review(ending) for ending in asked], actor=actor)


def _is_approved(ending: Ending) -> bool:
    return ending.run.task.project.auto_approve and ending.record.outcome == "finished"


def _end_runs(endings: Collection[Ending], now: datetime, *, actor: str) -> None:
    """Write the ends, each with its own guard and all by one UPDATE: each says something else, and an ORM's costs more than they do."""
    ordered = sorted(endings, key=lambda ending: ending.run.pk)
    ended_at = connection.ops.adapt_datetimefield_value(now)
    with connection.cursor() as cursor:
        cursor.execute(_end_sql(), [RunStatus.SUCCEEDED, ended_at, dumped(map(_given, ordered)), RunStatus.RUNNING])
        if cursor.rowcount < len(ordered):
            raise StaleRun
    for ending in ordered:
        before = ending.run.status
        remember(ending.run, _ended(ending, now))
        record_move(ending.run, before=before, actor=actor, reason=ending.record.code or ending.record.outcome)


def _end_sql() -> str:
    table = connection.ops.quote_name(TaskRun._meta.db_table)
    names = {"id", *_FENCE, *_PLAIN, *_ADDED}
    fields = [field for field in TaskRun._meta.concrete_fields if field.name in names]
    plain = ", ".join(f"{name} = given.{name}" for name in _PLAIN)
    added = ", ".join(f"{name} = run.{name} + given.{name}" for name in _ADDED)
    freed = "owner = '', lease_until = NULL, next_retry_at = NULL, version = run.version + 1"
    fence = " AND ".join(f"run.{name} = given.{name}" for name in ("id", *_FENCE))
    return (
        f"UPDATE {table} AS run SET status = %s, ended_at = %s, {plain}, {added}, {freed} "  # noqa: S608  (names of ours)
        f"FROM {recordset(fields)} WHERE {fence} AND run.status = %s"
    )


def _given(ending: Ending) -> dict[str, Any]:
    """Return what the UPDATE is given about one end."""
    used = amounts(ending.record.usage)
    fence = {"id": ending.run.pk, "epoch": ending.run.epoch, "owner": ending.run.owner}
    return {**fence, **_plain(ending), **used, "cost_usd": str(used["cost_usd"])}


def _ended(ending: Ending, now: datetime) -> dict[str, Any]:
    """Return what was written, as the run is to remember it."""
    return {"status": RunStatus.SUCCEEDED, "ended_at": now, **_plain(ending), **_FREED, **_WORKED_OUT}


def _plain(ending: Ending) -> dict[str, str]:
    session_id = ending.record.session_id or ending.run.session_id
    return {"session_id": session_id, "summary": ending.record.message, "head_commit": ending.head_commit}


def _move_to_review(endings: Collection[Ending], *, actor: str, approved_at: datetime | None) -> None:
    tasks: list[Task] = [ending.run.task for ending in endings]
    traces = {ending.run.task_id: ending.run.trace_id for ending in endings}
    if tasks:
        move_locked_tasks(tasks, TaskStatus.REVIEW, actor=actor, traces=traces, approved_at=approved_at)


def _review(ending: Ending) -> inbox.Notice:
    run, record = ending.run, ending.record
    return inbox.Notice(
        task=run.task,
        title=f"Review: {run.task.title}",
        content=("" if record.outcome == "finished" else _WITHOUT_REPORT) + record.message,
        dedupe_key=f"review:{run.task_id}",
        run_id=run.pk,
        trace_id=run.trace_id,
    )
