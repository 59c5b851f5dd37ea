"""Which events somebody wants: the same choice for the list, the replay and the live stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from django.db.models import Q

from events.frames import Frame
from events.models import EventQuerySet


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
