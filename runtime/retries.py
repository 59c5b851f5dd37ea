"""Retry policy: which failures are worth another attempt, and when."""

from __future__ import annotations

import random
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from events.models import Event
from events.states import EventType
from runtime.models import TaskRun
from runtime.rundir import ExitRecord

# After a lost session the next attempt begins a new one.
RETRYABLE = frozenset({"rate_limited", "usage_limited", "overloaded", "timeout", "network", "crashed", "session_lost"})

# So many dead runners within the window are no accident any more.
CRASHES = 5
CRASH_WINDOW = timedelta(minutes=15)


def delay_s(run: TaskRun, record: ExitRecord) -> float | None:
    """Return in how many seconds the next attempt is due, or None when there is to be none.

    Exponential backoff with full jitter, never before the provider's own retry-after.
    """
    tried = failures_in_a_row(run)
    if record.code not in RETRYABLE or tried >= run.task.max_attempts:
        return None
    backoff: float = min(settings.RETRY_CAP_S, settings.RETRY_BASE_S * 2 ** (tried - 1))
    return max(random.uniform(0, backoff), record.retry_after_s or 0.0)  # noqa: S311  (jitter, no secret)


def failures_in_a_row(run: TaskRun) -> int:
    """Return how many attempts this one and those it retries make. A person's retry begins a new row."""
    count, current = 1, run
    while current.retry_of is not None:
        count, current = count + 1, current.retry_of
    return count


def is_crash_loop(run: TaskRun) -> bool:
    """Tell whether this death of the run's process is one too many."""
    deaths = Event.objects.filter(
        run_id=run.pk,
        type=EventType.RUN_STATUS_CHANGED,
        at__gt=timezone.now() - CRASH_WINDOW,
        payload__reason="process_gone",
    )
    return deaths.count() + 1 >= CRASHES
