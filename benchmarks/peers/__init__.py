"""Queues and engines that people know, measured beside ours: each in an environment of its own below `.bench/`.

`make bench-peers` makes the environments, with the versions in `requirements-*.txt`. They are no dependencies of ours:
without its environment a peer is passed over, and a line says so. What a peer does is in `run_*.py`, which its own
Python runs; the last line of its output is JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.commands import ROOT

HERE = Path(__file__).parent
ENVIRONMENTS = ROOT / ".bench"
LIMIT_S = 600.0


def names() -> list[str]:
    """Return the names of all peers."""
    return sorted(path.stem.removeprefix("requirements-") for path in HERE.glob("requirements-*.txt"))


def is_there(name: str) -> bool:
    """Tell whether a peer can be measured; say so when it cannot."""
    if _python(name).exists():
        return True
    sys.stdout.write(f"{name} is not measured: it has no environment; `make bench-peers` makes it\n")
    return False


def measure(name: str, *given: object, home: Path, **environment: str) -> dict[str, Any]:
    """Have a peer do something, with its files below `home`, and return what it says of it."""
    home.mkdir(parents=True, exist_ok=True)
    command = [str(part) for part in (_python(name), HERE / f"run_{name}.py", *given)]
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("BBB_", "DJANGO_"))}
    done = subprocess.run(
        command,
        cwd=home,
        env=mine | {"HOME": str(home), "PEER_HOME": str(home)} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{name} failed:\n{done.stderr[-4000:]}")
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def _python(name: str) -> Path:
    return ENVIRONMENTS / name / "bin" / "python"
