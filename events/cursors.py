"""From times to cursors: the log is in the order of ids, and that is the order of time as well."""

from __future__ import annotations

from datetime import datetime, timedelta

from events.models import Event

# The clocks of several hosts differ a little; who filters by time looks at the times of what lies between the cursors as well.
_SKEW = timedelta(minutes=5)


def since(at: datetime) -> int:
    """Return an id below which nothing happened at this time or later, as far as clocks can be trusted."""
    earlier = Event.objects.filter(at__lt=at - _SKEW).order_by("-at").values_list("id", flat=True).first()
    return (earlier or 0) + 1


def until(at: datetime) -> int:
    """Return an id from which on nothing happened before this time, as far as clocks can be trusted."""
    later = Event.objects.filter(at__gt=at + _SKEW).order_by("at").values_list("id", flat=True).first()
    if later is not None:
        return later
    newest = Event.objects.order_by("-id").values_list("id", flat=True).first()
    return (newest or 0) + 1
