"""Which events somebody wants, and which they may see: the same choice for the list, the replay and the live stream."""

from __future__ import annotations

from collections.abc import Mapping
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

    project: int | None = None
    task: int | None = None
    run: int | None = None
    trace_id: str = ""
    types: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()

    @classmethod
    def of(cls, chosen: Mapping[str, Any]) -> Self:
        """Return the selection of a valid filter form."""
        names = chosen["type"] or []
        return cls(
            project=chosen["project"],
            task=chosen["task"],
            run=chosen["run"],
            trace_id=chosen["trace_id"] or "",
            types=frozenset(name for name in names if not name.endswith(".")),
            prefixes=tuple(name for name in names if name.endswith(".")),
        )

    def narrow(self, events: EventQuerySet) -> EventQuerySet:
        """Return those of the events that are wanted."""
        ids = {"project_id": self.project, "task_id": self.task, "run_id": self.run, "trace_id": self.trace_id or None}
        narrowed = events.filter(**{name: value for name, value in ids.items() if value is not None})
        if not self.types and not self.prefixes:
            return narrowed
        by_type = Q(type__in=self.types)
        for prefix in self.prefixes:
            by_type |= Q(type__startswith=prefix)
        return narrowed.filter(by_type)

    def matches(self, frame: Frame) -> bool:
        """Tell whether an event is wanted. Says the same as `narrow`."""
        return (
            self.project in (None, frame.project_id)
            and self.task in (None, frame.task_id)
            and self.run in (None, frame.run_id)
            and self.trace_id in ("", frame.trace_id)
            and self._wants(frame.type)
        )

    def _wants(self, type_: str) -> bool:
        if not self.types and not self.prefixes:
            return True
        return type_ in self.types or type_.startswith(self.prefixes)
