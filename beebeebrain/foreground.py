"""Several services in the foreground, as one: they start together, one Ctrl-C stops them all."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from runtime.processes import die_with_parent

CODE = Path(__file__).resolve().parent.parent
STOP_S = 15.0
# A signal does not end a sleep.
_LOOK_S = 0.05


class ServiceDied(Exception):
    """A service has ended by itself."""


class PortTaken(Exception):
    """Another program listens on this port. Choose another one with --port."""


def web_command(port: int, server: str = "uvicorn") -> list[str]:
    """Return the command of the web process."""
    return [sys.executable, str(CODE / "manage.py"), "runweb", "--port", str(port), "--server", server]


def scheduler_command() -> list[str]:
    """Return the command of the scheduler process."""
    return [sys.executable, str(CODE / "manage.py"), "runscheduler"]


def require_free(port: int) -> None:
    """Raise PortTaken if somebody listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise PortTaken(f"Port {port} is taken. Choose another one with --port.") from None


class Services:
    """Child processes that live and end with this one. Use as a context manager from the main thread."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        # No Event: its lock may be held by the very code that the handler interrupts, which would then wait for itself.
        self._is_stopping = False

    def start(self, name: str, command: list[str], *, output: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a service; its output goes to `output`, or where ours goes. It ends when this process dies."""
        with contextlib.ExitStack() as stack:
            stream = stack.enter_context(output.open("ab")) if output else None
            child = subprocess.Popen(  # noqa: S603  (commands of ours)
                command,
                cwd=CODE,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                # A session of its own: Ctrl-C reaches us alone, and we end the services in order.
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509  (one prctl call, no locks; we have no other threads yet)
            )
        self._children[name] = child
        return child

    def check(self) -> None:
        """Raise ServiceDied if a service has ended."""
        for name, child in self._children.items():
            if child.poll() is not None:
                raise ServiceDied(f"The {name} has ended with status {child.returncode}.")

    def wait(self, seconds: float) -> bool:
        """Sleep; True once somebody has asked to stop. Raises ServiceDied."""
        until = time.monotonic() + seconds
        while not self._is_stopping and (left_s := until - time.monotonic()) > 0:
            time.sleep(min(left_s, _LOOK_S))
        if not self._is_stopping:
            self.check()
        return self._is_stopping

    def wait_until_answering(self, url: str, *, seconds: float = 60.0) -> None:
        """Wait until a service answers on its URL. Raises ServiceDied or TimeoutError."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(url, timeout=5).status_code < 500:
                    return
            if self.wait(0.1):
                return
        raise TimeoutError(f"{url} does not answer.")

    def stop(self) -> None:
        """Ask all to end, last started first; end those that do not within a while."""
        children = list(reversed(self._children.values()))
        for child in children:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        for child in children:
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._children.clear()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Stop everything when the block ends; Ctrl-C and SIGTERM end `wait`."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, self._ask_to_stop) for number in numbers]
        try:
            yield
        finally:
            self.stop()
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

    def _ask_to_stop(self, *_: object) -> None:
        self._is_stopping = True


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment with additions."""
    return {**os.environ, **more}
