"""Carry over what was decided: nudges to the agents of this host, answers of people to where they matter."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from events import services as events
from inbox.models import InboxItem
from inbox.states import ItemStatus, Resolution
from orchestration.services.locks import lock_tasks
from orchestration.states import TaskStatus
from runtime import leases
from runtime.models import StuckFinding, TaskRun
from runtime.services.commands import pause_task
from runtime.starting import directory_of
from runtime.states import ACTIVE, RunStatus
from runtime.stuck.episodes import CONTINUE, END
from runtime.stuck.findings import Kind

NUDGES: dict[str, str] = {
    Kind.IDLE: "Nothing has been heard of you for a long time.",
    Kind.REPEAT: "You seem to repeat the same steps, with the same results.",
    Kind.ERRORS: "Nearly everything you have tried last has failed.",
}
_ADVICE = (
    "Stop and think about what keeps you from getting on, then try something else. "
    "If you cannot go on, call block_task; if a person has to decide something, call request_input."
)


def deliver(*, owner: str) -> int:
    """Pass on every nudge and every answer that is this scheduler's to pass on; return how many."""
    found = list(pending(owner))
    if not found:
        return 0
    items = InboxItem.objects.filter(status=ItemStatus.CLOSED).in_bulk([row.item_id for row in found if row.item_id])
    return sum(_nudge(row, owner) if row.nudged_at is None else _carry_out(row, items, owner) for row in found)


def pending(owner: str) -> QuerySet[StuckFinding]:
    """Return the findings about which this scheduler may have something to pass on."""
    open_ = StuckFinding.objects.filter(Q(nudged_at__isnull=True) | Q(item_id__isnull=False))
    ours = Q(run__owner=owner) | Q(run__owner="")
    return open_.filter(ours, run__status__in=ACTIVE).select_related("run__task").order_by("run_id")


def _nudge(known: StuckFinding, owner: str) -> bool:
    run = known.run
    if run.status != RunStatus.RUNNING or run.owner != owner or run.epoch != known.epoch:
        return False
    # Sent before it is noted: an agent told twice is no harm, one never told would be asked about without warning.
    if not _tell(run, f"{NUDGES[known.kind]} {_ADVICE}"):
        return False
    changes: dict[str, Any] = {"nudged_at": leases.now()}
    if known.kind != Kind.IDLE:
        changes["seq"] = run.log_seq
    return bool(StuckFinding.objects.filter(pk=known.pk, nudged_at__isnull=True).update(**changes))


def _carry_out(known: StuckFinding, items: dict[int, InboxItem], owner: str) -> bool:
    item = items.get(known.item_id or 0)
    return item is not None and _answered(known, item, owner)


@events.unit_of_work()
def _answered(known: StuckFinding, item: InboxItem, owner: str) -> bool:
    """Do what a person said. The kind is left alone for a while in any case."""
    run = known.run
    said = item.user_input.strip() if item.resolution == Resolution.ANSWERED else CONTINUE
    is_command = said.lower() in {CONTINUE, END}
    if not is_command and (run.status != RunStatus.RUNNING or run.owner != owner):
        return False  # words for an agent that is not here now
    lock_tasks([run.task_id])
    muted_until = leases.now() + timedelta(seconds=settings.STUCK_MUTE_S)
    rows = StuckFinding.objects.filter(pk=known.pk, item_id=item.pk)
    if not rows.update(item_id=None, muted_until=muted_until, seq=run.log_seq):
        return False
    if said.lower() == END:
        _end(run, actor=item.resolver)
    elif not is_command:
        _tell(run, said)
    changes = {"delivered_at": timezone.now(), "version": F("version") + 1}
    InboxItem.objects.filter(pk=item.pk).update(**changes)
    return True


def _tell(run: TaskRun, text: str) -> bool:
    try:
        directory_of(run).add_message("nudge", {"text": text})
    except FileNotFoundError:
        return False  # swept away: supervision finds out as well, and ends the run
    return True


def _end(run: TaskRun, *, actor: str) -> None:
    """Pause its task: the agent stops at a safe point, and a person may resume the session, retry or cancel."""
    task = run.task
    task.refresh_from_db()
    if task.status == TaskStatus.RUNNING and not task.is_held and not task.project.is_archived:
        pause_task(task, actor=actor)
