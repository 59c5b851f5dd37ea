"""Threads of one process that want the same lock stand in line: the one that has waited longest is the next to try."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Line:
    """Hands on the right to try, in the order in which it was asked for.

    Without it a thread that writes all the time takes the lock again in the moment it lets go, before any other has looked.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._is_held = False
        self._waiting: deque[threading.Lock] = deque()

    @contextmanager
    def turn(self, patience_s: float) -> Iterator[None]:
        """Wait to be the next, and go on without it when patience ends: what was waited for then says why it fails."""
        is_ours = self._take(patience_s)
        try:
            yield
        finally:
            if is_ours:
                self._pass_on()

    def _take(self, patience_s: float) -> bool:
        called = threading.Lock()
        with self._guard:
            if not self._is_held:
                self._is_held = True
                return True
            called.acquire()
            self._waiting.append(called)
        return called.acquire(timeout=patience_s) or not self._leave(called)

    def _leave(self, called: threading.Lock) -> bool:
        """Give up; return whether it was not too late for that, and our turn just then."""
        with self._guard:
            if called not in self._waiting:
                return False
            self._waiting.remove(called)
            return True

    def _pass_on(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_held = False
