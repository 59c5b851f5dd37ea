"""Which events somebody wants, and which they may see: the same choice for the list, the replay and the live stream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from django.db.models import Q

from events.frames import Frame
from events.models import EventQuerySet
from security.access import Rights

# What the guards did: who came from where, whose token was made or refused.
_GUARDED = "security."


@dataclass(frozen=True, slots=True)
class Sight:
    """What of the log somebody may see.

    Who is limited to projects sees what happened in them. What the guards recorded is for admins; of no project it is
    for those of them who see every project.
    """

    projects: frozenset[int] | None = None
    is_admin: bool = False

    @classmethod
    def of(cls, rights: Rights | None) -> Self:
        """Return what somebody with these rights may see; without any, nothing."""
        return cls(frozenset()) if rights is None else cls(rights.projects, rights.is_admin)

    def narrow(self, events: EventQuerySet) -> EventQuerySet:
        """Return those of the events that may be seen."""
        seen = events if self.projects is None else events.filter(project_id__in=self.projects)
        return seen if self.is_admin else seen.exclude(type__startswith=_GUARDED)

    def covers(self, frame: Frame) -> bool:
        """Tell whether an event may be seen. Says the same as `narrow`."""
        is_inside = self.projects is None or frame.project_id in self.projects
        return is_inside and (self.is_admin or not frame.type.startswith(_GUARDED))


@dataclass(frozen=True, slots=True)
class Selection:
    """What is not given does not narrow the choice. A type that ends in a dot stands for all that begin with it."""

    projects: frozenset[int] = frozenset()
    tasks: frozenset[int] = frozenset()
    runs: frozenset[int] = frozenset()
    trace_id: str = ""
    types: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()

    @classmethod
    def of(cls, chosen: Mapping[str, Any]) -> Self:
        """Return the selection of a valid filter form, or of a subscription."""
        names = chosen["type"] or ()
        return cls(
            projects=_ids(chosen["project"]),
            tasks=_ids(chosen["task"]),
            runs=_ids(chosen["run"]),
            trace_id=chosen["trace_id"] or "",
            types=frozenset(name for name in names if not name.endswith(".")),
            prefixes=tuple(sorted(name for name in names if name.endswith("."))),
        )

    def narrow(self, events: EventQuerySet) -> EventQuerySet:
        """Return those of the events that are wanted."""
        ids = {"project_id": self.projects, "task_id": self.tasks, "run_id": self.runs}
        narrowed = events.filter(**dict(_condition(name, values) for name, values in ids.items() if values))
        if self.trace_id:
            narrowed = narrowed.filter(trace_id=self.trace_id)
        if not self.types and not self.prefixes:
            return narrowed
        by_type = Q(type__in=self.types)
        for prefix in self.prefixes:
            by_type |= Q(type__startswith=prefix)
        return narrowed.filter(by_type)

    def matches(self, frame: Frame) -> bool:
        """Tell whether an event is wanted. Says the same as `narrow`."""
        return (
            (not self.projects or frame.project_id in self.projects)
            and (not self.tasks or frame.task_id in self.tasks)
            and (not self.runs or frame.run_id in self.runs)
            and self.trace_id in ("", frame.trace_id)
            and self.wants(frame.type)
        )

    def wants(self, type_: str) -> bool:
        """Tell whether events of a type may be wanted."""
        if not self.types and not self.prefixes:
            return True
        return type_ in self.types or type_.startswith(self.prefixes)


def _ids(given: int | Iterable[int] | None) -> frozenset[int]:
    if given is None:
        return frozenset()
    return frozenset((given,) if isinstance(given, int) else given)


def _condition(name: str, values: frozenset[int]) -> tuple[str, object]:
    """Return how a column is compared; with one value so that an index gives its rows in their order."""
    return (name, next(iter(values))) if len(values) == 1 else (f"{name}__in", values)
