"""What arrived of numbered events: what is missing, came twice or out of order, and how long it took. Bounded in memory."""

from __future__ import annotations

import math
from array import array
from collections import deque

# A bucket is so much wider than the one before: percentiles are right to three percent.
_GROWTH = math.log(1.03)
_LEAST_S, _BUCKETS = 1e-4, 500
MOST_GAPS = 1000


class Delays:
    """How often something took how long, from 0.1 ms to minutes."""

    def __init__(self) -> None:
        self.count = 0
        self._buckets = array("Q", bytes(8 * _BUCKETS))

    def add(self, seconds: float) -> None:
        number = 0 if seconds <= _LEAST_S else int(math.log(seconds / _LEAST_S) / _GROWTH) + 1
        self._buckets[min(number, _BUCKETS - 1)] += 1
        self.count += 1

    def percentile_ms(self, share: float) -> float | None:
        """Return what `share` of all, from 0 to 1, did not exceed, in milliseconds; None if there was nothing."""
        wanted = max(1, math.ceil(share * self.count))
        for number, found in enumerate(self._buckets):
            wanted -= found
            if wanted <= 0 and self.count:
                return 1000 * _LEAST_S * math.exp(number * _GROWTH)
        return None


class Arrivals:
    """What one listener got of the numbers 0, 1, 2 …

    A number that was passed over is missing until it comes, which is then out of order. Any other that is not new came twice.
    """

    def __init__(self) -> None:
        self.duplicates = 0
        self.disordered = 0
        self.next = 0
        # Runs of missing numbers, [first, behind the last): seldom more than a few. Of more than that only how many they are.
        self._missing: list[tuple[int, int]] = []
        self._given_up = 0

    def take(self, number: int) -> bool:
        """Note a number; tell whether it is the first time that it came."""
        if number == self.next:
            self.next += 1
            return True
        if number > self.next:
            self._miss(self.next, number)
            self.next = number + 1
            return True
        return self._take_late(number)

    def lost(self, total: int) -> int:
        """Return how many of `total` never came."""
        missing = sum(end - first for first, end in self._missing)
        return missing + self._given_up + max(0, total - self.next)

    def _miss(self, first: int, end: int) -> None:
        if len(self._missing) < MOST_GAPS:
            self._missing.append((first, end))
        else:
            self._given_up += end - first

    def _take_late(self, number: int) -> bool:
        for place, (first, end) in enumerate(self._missing):
            if first <= number < end:
                around = [(first, number), (number + 1, end)]
                self._missing[place : place + 1] = [(low, high) for low, high in around if low < high]
                self.disordered += 1
                return True
        self.duplicates += 1
        return False


class SentTimes:
    """When each batch of events was sent: of the last ones only, since late ones are seldom later than that."""

    def __init__(self, size: int, kept: int = 100_000) -> None:
        self._size = size
        self._times: deque[float] = deque(maxlen=kept)
        self._sent = 0

    def add(self, at: float) -> None:
        self._times.append(at)
        self._sent += 1

    def of(self, number: int) -> float | None:
        """Return when the event with this number was sent; None if that is forgotten."""
        place = number // self._size - (self._sent - len(self._times))
        return self._times[place] if 0 <= place < len(self._times) else None
