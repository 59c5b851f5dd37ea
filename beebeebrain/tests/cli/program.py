"""`bbb` as a person or a script runs it: a process of its own, with a configuration of its own."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
LIMIT_S = 60.0


@dataclass(frozen=True)
class Result:
    """How a call ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def error(self) -> tuple[int, str]:
        """Its exit status and, of a call with --json, the code of the error."""
        return self.code, json.loads(self.err)["code"]


@dataclass
class Bbb:
    """Runs `bbb` with an environment in which nothing of this machine's shows."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, stdin: str = "", **more: str) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "beebeebrain.cli", *arguments],
            cwd=ROOT,
            env=self._environment(more),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def started(self, *arguments: str) -> Iterator[Started]:
        """Run it in the background; it is ended with the block."""
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "beebeebrain.cli", *arguments],
                cwd=ROOT,
                env=self._environment({}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                # A suite that was started in the background is deaf to Ctrl-C, and so would be its children.
                preexec_fn=_hear_ctrl_c,  # noqa: PLW1509  (it only sets a signal)
            )
        try:
            yield Started(process, self.folder / "out", self.folder / "err")
        finally:
            process.kill()
            process.wait()

    def on_terminal(self, *arguments: str, says: Sequence[str] = (), **more: str) -> tuple[int, str]:
        """Run it on a terminal; each of `says` is typed when it has asked for something. Returns what was shown."""
        master, slave = pty.openpty()
        command = [sys.executable, "-m", "beebeebrain.cli", *arguments]
        environment = self._environment({"TERM": "xterm", "COLUMNS": "120", **more})
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        shown = _converse(master, list(says))
        os.close(master)
        return process.wait(LIMIT_S), shown

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("BBB_", "XDG_"))}
        home = {"XDG_CONFIG_HOME": str(self.folder / "config"), "PYTHONPATH": str(ROOT)}
        return {**kept, **home, **self.environment, **more}


@dataclass(frozen=True)
class Started:
    """A call under way."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    def wait_for(self, words: str, *, file: Path | None = None) -> str:
        """Wait until the words were printed; return all that was."""
        source = file or self.out
        wait_until(lambda: words in source.read_text() or self.process.poll() is not None)
        said = source.read_text()
        assert words in said, said + self.err.read_text()
        return said

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(LIMIT_S)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _converse(master: int, says: list[str]) -> str:
    """Read what is shown until the end; answer each prompt, which ends in a colon and a space."""
    shown = b""
    while True:
        try:
            shown += os.read(master, 65536)
        except OSError:
            # The other side has gone.
            return shown.decode()
        if says and shown.rstrip(b"\x1b[K?2004h").endswith(b": "):
            os.write(master, f"{says.pop(0)}\n".encode())


def _hear_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
