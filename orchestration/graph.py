"""Questions about edges, on plain ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def reaches(start: int, goal: int, parents_of: Callable[[set[int]], Iterable[int]]) -> bool:
    """Tell whether `goal` is `start` or an ancestor of it.

    `parents_of` answers for a whole generation at once, so a database is asked once a level.
    """
    seen: set[int] = set()
    front = {start}
    while front:
        if goal in front:
            return True
        seen |= front
        front = set(parents_of(front)) - seen
    return False
