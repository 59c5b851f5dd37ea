from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import time_machine
from pytest_django.fixtures import Settings

from security import counting

# The beginning of a minute.
NOON = 1_764_072_000.0


def test_a_count_grows_and_says_when_the_period_ends() -> None:
    with time_machine.travel(NOON + 45, tick=False):
        assert counting.count("a", period_s=60) == (1, 15)
        assert counting.count("a", period_s=60) == (2, 15)
        assert counting.count("b", period_s=60).number == 1


def test_the_next_period_begins_anew() -> None:
    with time_machine.travel(NOON + 59, tick=False) as now:
        counting.count("a", period_s=60)
        now.shift(1)
        assert counting.count("a", period_s=60) == (1, 60)


def test_what_is_forgotten_is_counted_anew() -> None:
    counting.count("a", period_s=3600)
    counting.forget("a", period_s=3600)
    assert counting.count("a", period_s=3600).number == 1


def test_of_many_who_count_at_once_each_has_a_number_of_its_own() -> None:
    start = threading.Barrier(16)

    def one(_: int) -> int:
        start.wait()
        return counting.count("a", period_s=3600).number

    with ThreadPoolExecutor(16) as threads:
        assert sorted(threads.map(one, range(16))) == list(range(1, 17))


def test_only_the_first_in_a_while_is_the_first() -> None:
    with time_machine.travel(NOON, tick=False) as now:
        assert [counting.is_first("a", period_s=60) for _ in range(3)] == [True, False, False]
        now.shift(61)
        assert counting.is_first("a", period_s=60)


def test_a_lock_lasts_from_now_on() -> None:
    with time_machine.travel(NOON + 50, tick=False) as now:
        assert counting.lock("a", period_s=60)
        assert not counting.lock("a", period_s=60)
        now.shift(20)
        assert (counting.locked_for("b", "a"), counting.locked_for("b")) == (40, 0)
        now.shift(41)
        assert counting.locked_for("a") == 0


@pytest.mark.parametrize("text", ["x" * 10_000, "\ud800", "a\0b", "naïve key with spaces"])
def test_any_text_from_outside_makes_a_key(text: str) -> None:
    assert len(counting.key("login", text)) == 32


def test_parts_of_a_key_do_not_run_together() -> None:
    assert counting.key("ab", "c") != counting.key("a", "bc")


def test_without_its_redis_a_process_counts_for_itself(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_away_until", 0.0)
    # Nobody listens there.
    redis = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {**settings.CACHES, "default": redis}
    assert [counting.count("a", period_s=3600).number for _ in range(3)] == [1, 2, 3]
    assert counting.lock("a", period_s=60)
    assert counting.locked_for("a") == 60
