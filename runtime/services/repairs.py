"""Mend what the auditor found: counters are counted again, under the locks of those who count in use."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import F
from django.utils import timezone

from events import services as events
from events.states import EventType
from orchestration.models import Task
from orchestration.services.locks import lock_graph, lock_tasks
from orchestration.services.tasks import record_update
from runtime import invariants
from runtime.invariants import Difference
from runtime.models import Slot


def mend(found: Iterable[Difference], *, actor: str) -> None:
    """Count again what was counted wrongly, each with an event. What has come right by itself is left alone."""
    by_kind: dict[str, list[str]] = {}
    for difference in found:
        by_kind.setdefault(difference.what, []).append(difference.row.partition(":")[2])
    for task in Task.objects.filter(pk__in=by_kind.get(invariants.UNMET_DEPENDENCIES, [])).order_by("pk"):
        _recount(task, actor=actor)
    if keys := by_kind.get(invariants.SLOT):
        _recount_slots(keys, actor=actor)


@events.unit_of_work()
def _recount(task: Task, *, actor: str) -> None:
    lock_graph(task.project_id)
    lock_tasks([task.pk])
    for _, expected, _ in invariants.wrong_counters(Task.objects.filter(pk=task.pk)):
        changes = {"unmet_dependencies": expected, "version": F("version") + 1, "updated_at": timezone.now()}
        Task.objects.filter(pk=task.pk).update(**changes)
        task.refresh_from_db()
        record_update(task, ["unmet_dependencies"], actor=actor)


@events.unit_of_work()
def _recount_slots(keys: list[str], *, actor: str) -> None:
    # A row that was missing has no cap yet; it gets its own when it is next taken.
    Slot.objects.bulk_create([Slot(key=key, cap=0) for key in sorted(keys)], ignore_conflicts=True)
    locked = list(Slot.objects.select_for_update().filter(key__in=keys).order_by("key"))
    held = invariants.held_slots()
    for slot in locked:
        if slot.running == held[slot.key]:
            continue
        events.append(
            EventType.ALERT_RAISED,
            project_id=_project_of(slot.key),
            actor=actor,
            kind="slot_mended",
            message=f"The slot {slot.key} counted {slot.running} runs; {held[slot.key]} hold it.",
            details={"key": slot.key, "expected": held[slot.key], "found": slot.running},
        )
        slot.running = held[slot.key]
        slot.save(update_fields=["running"])


def _project_of(key: str) -> int | None:
    noun, _, id_ = key.partition(":")
    return int(id_) if noun == "project" else None
