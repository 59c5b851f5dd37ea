from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from beebeebrain.cli.tally import MOST_GAPS, Arrivals, Delays, SentTimes


def taken(*numbers: int) -> Arrivals:
    arrivals = Arrivals()
    for number in numbers:
        arrivals.take(number)
    return arrivals


def counts(arrivals: Arrivals, total: int) -> tuple[int, int, int]:
    return arrivals.lost(total), arrivals.duplicates, arrivals.disordered


def test_what_comes_once_and_in_order_is_faultless() -> None:
    assert counts(taken(0, 1, 2), 3) == (0, 0, 0)


def test_what_never_comes_is_lost_wherever_it_was() -> None:
    assert counts(taken(1, 2, 5), 8) == (5, 0, 0)


def test_what_comes_late_is_out_of_order_and_not_lost() -> None:
    assert counts(taken(0, 3, 2, 1), 4) == (0, 0, 2)


def test_what_comes_again_is_a_duplicate_late_or_not() -> None:
    assert counts(taken(0, 0, 2, 1, 1), 3) == (0, 2, 1)


@given(st.lists(st.integers(0, 30), max_size=60))
def test_all_that_came_is_accounted_for(numbers: list[int]) -> None:
    arrivals = taken(*numbers)
    assert arrivals.lost(31) == 31 - len(set(numbers))
    assert arrivals.duplicates == len(numbers) - len(set(numbers))


def test_many_gaps_are_counted_but_not_kept() -> None:
    arrivals = taken(*range(0, 4 * MOST_GAPS, 2))
    assert arrivals.lost(4 * MOST_GAPS) == 2 * MOST_GAPS
    assert len(arrivals._missing) == MOST_GAPS


def test_a_percentile_is_right_to_some_percent() -> None:
    delays = Delays()
    for milliseconds in range(1, 1001):
        delays.add(milliseconds / 1000)
    for share in (0.5, 0.95, 0.99):
        found = delays.percentile_ms(share)
        assert found is not None
        assert abs(found / (1000 * share) - 1) < 0.04
    assert Delays().percentile_ms(0.5) is None


def test_times_of_sending_are_forgotten_in_the_end() -> None:
    times = SentTimes(10, kept=2)
    for at in (1.0, 2.0, 3.0):
        times.add(at)
    assert [times.of(number) for number in (9, 10, 29, 30)] == [None, 2.0, 3.0, None]
