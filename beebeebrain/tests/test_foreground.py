"""What `make run` waits with: a signal may come at any moment, also in the middle of the wait for it."""

from __future__ import annotations

import signal
import subprocess
import sys

from beebeebrain.foreground import CODE, Services

# Before each instruction of a wait a signal comes, in one wait after the other. What waits for itself hangs.
_INTERRUPTED = """
import signal, sys
from beebeebrain.foreground import Services

class Interruption:
    def __init__(self, at):
        self.left = at

    def trace(self, frame, event, argument):
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(signal.SIGTERM)
        return self.trace

moment, was_in_time = 0, True
while was_in_time:
    moment += 1
    interruption, services = Interruption(moment), Services({})
    with services.running():
        sys.settrace(interruption.trace)
        services.wait(0)
        sys.settrace(None)
        was_in_time = interruption.left <= 0
        assert services.wait(0) == was_in_time
print(moment)
"""


def test_a_signal_is_heard_at_whatever_moment_of_a_wait_it_comes() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED], cwd=CODE, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10


def test_the_handlers_of_before_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Services({}).running():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
