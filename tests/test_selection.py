"""The order of tests: who has much to do begins with it."""

from __future__ import annotations

import random

import pytest

from tests.selection import spread

LONG = {f"long {number}" for number in range(8)}
FILES = [*sorted(LONG), *(f"short {number}" for number in range(40))]


@pytest.mark.parametrize("workers", [1, 2, 3, 6])
def test_each_workers_stretch_begins_with_files_that_take_long(workers: int) -> None:
    files = random.Random(7).sample(FILES, len(FILES))
    tests = [f"{file}::{number}" for file in files for number in range(10)]
    found = spread(tests, lambda test: test.partition("::")[0], LONG, workers=workers)
    assert sorted(found) == sorted(tests)
    stretches, left = [], found
    for number in range(workers):  # as pytest-xdist does it
        size = len(left) // (workers - number)
        stretches.append([test.partition("::")[0] for test in left[:size]])
        left = left[size:]
    for stretch in stretches:
        begin = sum(1 for file in stretch if file in LONG)
        assert 10 * (len(LONG) // workers) <= begin < len(stretch)
        assert set(stretch[:begin]) <= LONG


def test_more_long_files_than_stretches_have_room_for_lose_none() -> None:
    tests = [f"long {number % 8}::{number}" for number in range(5)]
    assert sorted(spread(tests, lambda test: test.partition("::")[0], LONG, workers=3)) == sorted(tests)
