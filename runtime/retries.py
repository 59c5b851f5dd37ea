"""Retry policy: which failures are worth another attempt, and when."""

from __future__ import annotations

import math
import random
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from events.models import Event
from events.states import EventType
from llm import contract
from runtime.models import TaskRun
from runtime.rundir import ExitRecord

# What may pass by itself, and what passes with a new session. Everything else is for a person to decide.
RETRYABLE = contract.RETRYABLE | {"session_lost", "context_overflow"}

# Nothing is wrong with the work: what these end is tried again however often, and counts for nothing.
UNSPENT = frozenset({"rate_limited", "usage_limited"})

# To resume the session would only fail again: the next attempt, also a person's, begins a new one in the same worktree.
POISONED = frozenset(
    {
        "session_lost",  # it is not there any more
        "context_overflow",  # it has grown too long, or holds something too large, and could not be compacted
        "invalid_request",  # its history is one that the provider does not accept
        "refused",  # the model declines to go on from what was said in it
        "crash_loop",  # its client died of it again and again
    }
)

# Not even a monthly limit is taken at its word for longer: after this, one run asks again.
LONGEST_WAIT_S = 7 * 24 * 3600.0
# A usage limit whose end the provider did not name is looked at again after this.
UNKNOWN_RESET_S = 15 * 60.0
# A rate limit that asks for so long a wait, or a longer one, is no matter of this run alone: its credential waits.
LONG_RATE_LIMIT_S = 60.0

# So many dead runners within the window are no accident any more.
CRASHES = 5
CRASH_WINDOW = timedelta(minutes=15)

# Doubling a step more often than this goes beyond every cap.
_MOST_DOUBLINGS = 32


def delay_s(run: TaskRun, record: ExitRecord) -> float | None:
    """Return in how many seconds the next attempt is due, or None when there is to be none.

    Exponential backoff with full jitter, never before the provider's own retry-after.
    """
    if record.code not in RETRYABLE:
        return None
    codes = _codes_in_a_row(run)
    if _spent([record.code, *codes[1:]]) >= run.task.max_attempts:
        return None
    doublings = min(len(codes) - 1, _MOST_DOUBLINGS)
    backoff: float = min(settings.RETRY_CAP_S, settings.RETRY_BASE_S * 2**doublings)
    return max(random.uniform(0, backoff), _asked_s(record), limit_s(record) or 0.0)  # noqa: S311  (jitter, no secret)


def limit_s(record: ExitRecord) -> float | None:
    """Return for how many seconds the whole credential has to wait; None where the end says nothing of the kind.

    A usage limit always does, a rate limit when the provider asks for a long wait.
    """
    asked_s = _asked_s(record)
    if record.code == "usage_limited":
        return UNKNOWN_RESET_S if record.retry_after_s is None else asked_s
    return asked_s if record.code == "rate_limited" and asked_s >= LONG_RATE_LIMIT_S else None


def _asked_s(record: ExitRecord) -> float:
    """Return the provider's retry-after within what can be believed."""
    asked_s = record.retry_after_s or 0.0
    return min(max(asked_s, 0.0), LONGEST_WAIT_S) if not math.isnan(asked_s) else 0.0


def failures_in_a_row(run: TaskRun) -> int:
    """Return how many attempts this one and those it retries make. A person's retry begins a new row."""
    return len(_codes_in_a_row(run))


def attempts_spent(run: TaskRun) -> int:
    """Return how many of these attempts count towards `max_attempts`."""
    return _spent(_codes_in_a_row(run))


def _spent(codes: list[str]) -> int:
    return sum(code not in UNSPENT for code in codes)


def _codes_in_a_row(run: TaskRun) -> list[str]:
    """Return how this attempt and each that it retries ended, the latest first."""
    rows = TaskRun.objects.filter(task=run.task_id, attempt__lte=run.attempt).order_by("-attempt")
    ended = {pk: (before, code) for pk, before, code in rows.values_list("pk", "retry_of", "error_code")}
    codes: list[str] = []
    current: int | None = run.pk
    while current in ended:
        current, code = ended.pop(current)
        codes.append(code)
    return codes


def is_crash_loop(run: TaskRun) -> bool:
    """Tell whether this death of the run's process is one too many."""
    deaths = Event.objects.filter(
        run_id=run.pk,
        type=EventType.RUN_STATUS_CHANGED,
        at__gt=timezone.now() - CRASH_WINDOW,
        payload__reason="process_gone",
    )
    return deaths.count() + 1 >= CRASHES
