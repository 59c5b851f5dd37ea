"""Start a runner as a process of its own on this host."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Where `python -m runtime.runner` is found. As a working directory and not as PYTHONPATH, which the agent would inherit.
_CODE = Path(__file__).resolve().parent.parent.parent

_children: list[subprocess.Popen[bytes]] = []


def launch(directory: Path, environment: dict[str, str]) -> int:
    """Start the runner of a run directory and return its pid. It outlives this process.

    Its output goes to files: a pipe would kill it when its reader dies. Raises OSError.
    """
    with (directory / "stdout").open("ab") as stdout, (directory / "stderr").open("ab") as stderr:
        child = subprocess.Popen(  # noqa: S603  (our own interpreter and module)
            [sys.executable, "-m", "runtime.runner", str(directory)],
            cwd=_CODE,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    _children.append(child)
    return child.pid


def reap() -> None:
    """Collect runners of ours that have exited, so that none stays behind as a zombie."""
    _children[:] = [child for child in _children if child.poll() is None]
