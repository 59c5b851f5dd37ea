"""Slots: how many runs at once, over everything, per project and per agent.

Every transaction that changes slots takes their rows first, in key order; on SQLite the write lock does it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from django.conf import settings
from django.db.models import F

from orchestration.models import Agent, Project
from runtime.models import Slot, TaskRun
from sql.prepared import PreparedQuery, PreparedUpdate

GLOBAL = "global"

_present = PreparedQuery(lambda keys: Slot.objects.filter(key__in=keys).values_list("key"))
_locked = PreparedQuery(lambda keys: Slot.objects.select_for_update().filter(key__in=keys).order_by("key"))
_add = PreparedUpdate(lambda keys, count: (Slot.objects.filter(key__in=keys), {"running": F("running") + count}))


def project_key(project_id: int) -> str:
    return f"project:{project_id}"


def agent_key(agent_id: int) -> str:
    return f"agent:{agent_id}"


def keys(project_id: int, agent_id: int) -> list[str]:
    """Return the keys one run counts against."""
    return [agent_key(agent_id), GLOBAL, project_key(project_id)]


def caps(project: Project, agent: Agent) -> dict[str, int]:
    """Return the caps in force for one run's keys."""
    return {
        GLOBAL: settings.MAX_PARALLEL_RUNS,
        project_key(project.pk): project.max_parallel_runs,
        agent_key(agent.pk): agent.max_parallel_runs,
    }


def lock(caps_: dict[str, int]) -> dict[str, Slot]:
    """Lock the slots of these keys, made or brought to their cap where needed, and return them by key."""
    if len(_present(list(caps_))) < len(
        caps_
    ):  # looked at before any is locked: a row made later would be out of order
        Slot.objects.bulk_create([Slot(key=key, cap=cap) for key, cap in sorted(caps_.items())], ignore_conflicts=True)
    locked = {slot.key: slot for slot in _locked(list(caps_))}
    for key, slot in locked.items():
        if slot.cap != caps_[key]:
            slot.cap = caps_[key]
            slot.save(update_fields=["cap"])
    return locked


def take(slots: dict[str, Slot], wanted: Iterable[str]) -> bool:
    """Take one of each wanted slot, or none: False when one is full. What was taken of locked slots is yet to be stored."""
    chosen = [slots[key] for key in wanted]
    if any(slot.running >= slot.cap for slot in chosen):
        return False
    for slot in chosen:
        slot.running += 1
    return True


def store(taken: Counter[str]) -> None:
    """Write how many were taken of each slot. The slots are locked by the caller."""
    for count in sorted(set(taken.values())):
        keys_ = [key for key in taken if taken[key] == count]
        _add(keys_, count)


def lock_for(runs: Iterable[TaskRun]) -> list[str]:
    """Lock the slots these runs count against, and return their keys, each as often as it is held."""
    held = [key for run in runs for key in keys(run.task.project_id, run.agent_id)]
    _locked(set(held))
    return held


def give_back(held: Iterable[str]) -> None:
    """Free what is held. The slots are locked by the caller."""
    store(Counter({key: -count for key, count in Counter(held).items()}))
