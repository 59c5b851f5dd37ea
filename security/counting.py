"""Counts of what happens within a period, in Django's cache: with Redis all web processes count together.

While Redis is away each process counts for itself: a limit that is wider for a while is better than no answers.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import structlog
from django.core.cache import BaseCache, caches

log = structlog.get_logger("bbb.security")

T = TypeVar("T")

# How long the shared cache is left alone after it has failed.
RETRY_S = 15.0
_away_until = 0.0


class Count(NamedTuple):
    """How often something has happened in this period, and the seconds until the next one begins."""

    number: int
    wait_s: int


def key(*parts: str) -> str:
    """Return a name for what is counted. Parts may come from outside and be of any length."""
    return hashlib.blake2b("\0".join(parts).encode(errors="replace"), digest_size=16).hexdigest()


def count(name: str, *, period_s: int, by: int = 1) -> Count:
    """Count `by` more, and return how many there are in this period. Periods follow one another from the epoch on."""
    now = time.time()
    number = _done(lambda cache: _raised(cache, _in_period(name, now, period_s), period_s, by))
    return Count(number, math.ceil(period_s - now % period_s))


def forget(name: str, *, period_s: int) -> None:
    """Begin to count anew."""
    period = _in_period(name, time.time(), period_s)
    _done(lambda cache: cache.delete(period))


def is_first(name: str, *, period_s: int) -> bool:
    """Tell, once in so many seconds, that this has not happened lately."""
    return _done(lambda cache: bool(cache.add(f"first:{name}", True, period_s)))


def lock(name: str, *, period_s: int) -> bool:
    """Lock something for so many seconds from now; False where it is locked already."""
    return _done(lambda cache: bool(cache.add(f"lock:{name}", time.time() + period_s, period_s)))


def locked_for(*names: str) -> int:
    """Return how many seconds it takes until none of these is locked; 0: none is."""
    found = _done(lambda cache: cache.get_many([f"lock:{name}" for name in names]))
    return max((math.ceil(until - time.time()) for until in found.values()), default=0)


def _in_period(name: str, now: float, period_s: int) -> str:
    return f"count:{name}:{int(now // period_s)}"


def _raised(cache: BaseCache, name: str, period_s: int, by: int) -> int:
    try:
        return cache.incr(name, by)
    except ValueError:
        # The first of its period, or crowded out; of several firsts one adds it.
        if cache.add(name, by, period_s):
            return by
    try:
        return cache.incr(name, by)
    except ValueError:
        return by


def _done(work: Callable[[BaseCache], T]) -> T:
    """Do something with the shared cache, or with this process's own while that is away."""
    global _away_until  # noqa: PLW0603  (of the process, like the cache itself)
    if time.monotonic() >= _away_until:
        try:
            return work(caches["default"])
        except Exception:
            # Each backend has errors of its own, and none may refuse a request that is allowed.
            log.warning("cache_unavailable", exc_info=True)
            _away_until = time.monotonic() + RETRY_S
    return work(caches["local"])
