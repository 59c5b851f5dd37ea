"""Deliver answers: to the runner that waits for one, or, if it was parked, by resuming its session."""

from __future__ import annotations

import structlog
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from events import services as events
from inbox.models import InboxItem
from orchestration.exceptions import Conflict
from runtime.models import TaskRun
from runtime.services.resuming import resume_run
from runtime.starting import directory_of
from runtime.states import ACTIVE, RunStatus

log = structlog.get_logger("bbb.runtime")


# So many are read at once.
PAGE = 100


def deliver_answers(*, owner: str) -> int:
    """Pass on answers that their runs have not been told yet; return how many. There may be more when there were any."""
    last, found, told = 0, _tellable(owner), 0
    # Those that cannot be delivered now must not hide the others: they may wait for ever.
    while not told and (page := list(found.filter(pk__gt=last)[:PAGE])):
        told = sum(_deliver(item, owner=owner) for item in page)
        last = page[-1].pk
    return told


def _tellable(owner: str) -> QuerySet[InboxItem]:
    """Return the answers that can be delivered from here, or put away."""
    asking = TaskRun.objects.active().filter(pk=OuterRef("run_id")).order_by()
    within_reach = Q(status=RunStatus.INTERRUPTED) | Q(status=RunStatus.RUNNING, owner=owner)
    # Who was given something to wait for while blocked waits for that as well.
    answers = InboxItem.objects.undelivered().filter(task__unmet_dependencies=0)
    return answers.filter(~Exists(asking) | Exists(asking.filter(within_reach))).order_by("pk")


@events.unit_of_work()
def _deliver(item: InboxItem, *, owner: str) -> bool:
    run = TaskRun.objects.select_related("task__project", "agent").filter(pk=item.run_id or 0).first()
    if run is None or run.status not in ACTIVE:
        return _delivered(item)
    if run.status == RunStatus.RUNNING and run.owner == owner and item.dedupe_key.startswith("ask:"):
        # Written before the mark is committed: an answer told twice does no harm, one never told would.
        return _is_left(run, item) and _delivered(item)
    if run.status != RunStatus.INTERRUPTED:
        return False
    try:
        with events.unit_of_work():
            resume_run(run, prompt=_told(item), actor=item.resolver, reason="answered")
    except Conflict:
        return False
    return _delivered(item)


def _is_left(run: TaskRun, item: InboxItem) -> bool:
    """Leave the answer where the runner looks for it; False when that cannot be now: then it is left later, or the run ends."""
    try:
        directory_of(run).send(f"answer-{item.dedupe_key.rsplit(':', 1)[1]}", {"text": item.user_input})
    except OSError as error:  # the directory was swept away, or the disk is full
        log.warning("answer_not_left", item_id=item.pk, run_id=run.pk, error=str(error))
        return False
    return True


def _told(item: InboxItem) -> str:
    return f"You asked: {item.content}\n\nThe answer: {item.user_input}"


def _delivered(item: InboxItem) -> bool:
    changes = {"delivered_at": timezone.now(), "version": F("version") + 1}
    return bool(InboxItem.objects.filter(pk=item.pk, delivered_at__isnull=True).update(**changes))
