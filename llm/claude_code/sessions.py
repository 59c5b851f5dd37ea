"""Read the client's own record of a session: whether it is there, and what it had cost when it last ended.

A resumed client counts tokens and cost on from the last `cost-state` line of this file. One that was killed wrote
none, and counts from nothing, or from an older one: so the file is the baseline, not what we remember.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Lines are searched from the end; a long session has a file of many megabytes.
_BLOCK = 256 * 1024


@dataclass(frozen=True)
class Baseline:
    """What a session had used before this process."""

    cost_usd: float = 0.0
    models: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By model name, in the client's own names: inputTokens, outputTokens, …"""


def transcript(config_dir: Path, session_id: str) -> Path | None:
    """Return the file of a session, whatever folder it was begun in, or None."""
    return next(config_dir.glob(f"projects/*/{session_id}.jsonl"), None)


def baseline(path: Path) -> Baseline:
    """Return what the client will count on from when it resumes this session."""
    found = _last_cost_state(path)
    models = found.get("modelUsage")
    return Baseline(
        cost_usd=float(found.get("totalCostUSD") or 0.0),
        models=models if isinstance(models, dict) else {},
    )


def _last_cost_state(path: Path) -> dict[str, Any]:
    tail = b""
    with path.open("rb") as stream:
        position = stream.seek(0, 2)
        while position > 0:
            step = min(_BLOCK, position)
            position -= step
            stream.seek(position)
            tail = stream.read(step) + tail
            # The first line may be half a line until the next block is read.
            lines = tail.split(b"\n") if position == 0 else tail.split(b"\n")[1:]
            for line in reversed(lines):
                if found := _cost_state(line):
                    return found
            tail = tail.split(b"\n")[0] + b"\n" if position else b""
    return {}


def _cost_state(line: bytes) -> dict[str, Any] | None:
    if b'"cost-state"' not in line:
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and found.get("type") == "cost-state" else None
