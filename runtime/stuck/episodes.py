"""What follows from a finding: first the agent is nudged, once; if that helps nothing, a person is asked."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Literal

import structlog
from django.conf import settings
from django.db.models import Q

from events import services as events
from events.states import EventType
from inbox import services as inbox
from inbox.states import ItemType
from orchestration.models import Task
from orchestration.services.locks import lock_tasks
from runtime import leases
from runtime.models import StuckFinding, TaskRun
from runtime.states import RunStatus
from runtime.stuck.findings import Finding, Kind
from sql.prepared import PreparedQuery

log = structlog.get_logger("bbb.runtime")

Step = Literal["nudge", "ask"]

# Of a run that is over: a nudge that was not passed on, an item that may be open.
_PENDING = Q(nudged_at__isnull=True) | Q(item_id__isnull=False)
_pending_of = PreparedQuery(lambda runs: StuckFinding.objects.filter(_PENDING, run__in=runs))

CONTINUE, END = "continue", "end"
_TITLES = {
    Kind.IDLE: "Nothing heard of",
    Kind.REPEAT: "Going in circles",
    Kind.ERRORS: "Failing again and again",
}


def key(run: TaskRun, kind: str) -> str:
    """Return the dedupe key: one open item per run and kind."""
    return f"stuck:{run.pk}:{kind}"


@events.unit_of_work()
def take_up(run: TaskRun, finding: Finding, *, actor: str) -> Step | None:
    """Do what a finding calls for now, and return what that was. Nothing happens to a run that has ended meanwhile."""
    task = lock_tasks([run.task_id]).get(run.task_id)
    if task is None or not _is_running(run):
        return None
    known = StuckFinding.objects.filter(run=run, kind=finding.kind).first()
    now = leases.now()
    step = next_step(known, run.epoch, finding, now)
    if step == "nudge":
        _note_nudge(run, finding, now)
    elif step == "ask" and known is not None:
        _ask_person(known, run, task, finding, actor=actor)
    if step:
        log.warning("run_stuck", kind=str(finding.kind), step=step, message=finding.message)
    return step


def next_step(known: StuckFinding | None, epoch: int, finding: Finding, now: datetime) -> Step | None:
    """Return what a finding calls for, by what is known of its kind; None while it is somebody else's turn."""
    if known is None or known.epoch != epoch:
        return "nudge"
    if known.nudged_at is None or known.item_id is not None:
        return None
    if known.muted_until is not None:
        return "ask" if now >= known.muted_until else None
    if finding.kind == Kind.IDLE and finding.seq > known.seq:
        return "nudge"  # it has spoken since: this is another silence
    return "ask" if now - known.nudged_at >= timedelta(seconds=settings.STUCK_NUDGE_WAIT_S) else None


def close_items(runs: Collection[TaskRun], *, actor: str) -> None:
    """Close what is asked about starts of runs that are over. An answer that was given is carried out all the same."""
    for known in _pending_of([run.pk for run in runs]):
        if known.nudged_at is None:
            known.delete()
        elif inbox.close_unanswered(known.item_id, actor=actor):
            StuckFinding.objects.filter(pk=known.pk).update(item_id=None)


def _is_running(run: TaskRun) -> bool:
    """Runs under the lock of the task, which every end of a run takes too."""
    return TaskRun.objects.filter(pk=run.pk, epoch=run.epoch, status=RunStatus.RUNNING).exists()


def _note_nudge(run: TaskRun, finding: Finding, now: datetime) -> None:
    """Have the scheduler that owns the run tell its agent: only its host has the run directory."""
    fresh: dict[str, Any] = {"found_at": now, "nudged_at": None, "item_id": None, "muted_until": None}
    StuckFinding.objects.update_or_create(
        run=run, kind=finding.kind, defaults={"epoch": run.epoch, **_what(finding), **fresh}
    )


def _what(finding: Finding) -> dict[str, Any]:
    return {"seq": finding.seq, "message": finding.message, "evidence": finding.evidence}


def _ask_person(known: StuckFinding, run: TaskRun, task: Task, finding: Finding, *, actor: str) -> None:
    place: dict[str, Any] = {"run_id": run.pk, "actor": actor, "trace_id": run.trace_id}
    item = inbox.ask(
        ItemType.ALERT,
        task=task,
        title=f"{_TITLES[finding.kind]}: {task.title}",
        content=_content(finding, known),
        options=[CONTINUE, END],
        dedupe_key=key(run, finding.kind),
        **place,
    )
    events.append(
        EventType.ALERT_RAISED,
        project_id=task.project_id,
        task_id=task.pk,
        agent_id=run.agent_id,
        kind=f"stuck_{finding.kind}",
        message=finding.message,
        details={"epoch": run.epoch, "seq": finding.seq, "item_id": item.pk, **finding.evidence},
        **place,
    )
    StuckFinding.objects.filter(pk=known.pk).update(item_id=item.pk, muted_until=None, **_what(finding))


def _content(finding: Finding, known: StuckFinding) -> str:
    evidence = finding.evidence
    calls = [f"{call['count']} x {call['call']}" for call in evidence.get("calls", [])]
    told = f", and was told so at {known.nudged_at:%H:%M:%S} UTC" if known.nudged_at else ""
    parts = [f"{finding.message} It has been like this since {finding.since:%Y-%m-%d %H:%M:%S} UTC{told}."]
    parts += ["\n".join(calls)] if calls else []
    parts += [f"The last result:\n{evidence['last_result']}"] if evidence.get("last_result") else []
    minutes = settings.STUCK_MUTE_S / 60
    parts.append(
        f"Answer `{CONTINUE}` to let it go on (you are not asked about this again for {minutes:.0f} minutes), "
        f"`{END}` to stop it with its work and its session kept, or say what it should do instead."
    )
    return "\n\n".join(parts)
