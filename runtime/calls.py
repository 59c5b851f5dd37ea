"""The calls to leave, SIGTERM and SIGINT, for a loop that sleeps in between."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def heard(answer: Callable[[], None]) -> Iterator[list[int]]:
    """Answer each call while the block runs; the old handlers come back after it. In another thread than the first nobody calls.

    Yields what becomes readable then: a handler alone does not end a sleep. The answer interrupts whatever the loop does, so
    it takes no lock: not even that of an Event.
    """
    if threading.current_thread() is not threading.main_thread():
        yield []
        return
    wanted = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: answer()) for number in wanted]
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    waker = signal.set_wakeup_fd(writer)
    try:
        yield [reader]
    finally:
        signal.set_wakeup_fd(waker)
        os.close(reader)
        os.close(writer)
        for number, handler in zip(wanted, before, strict=True):
            signal.signal(number, handler)
