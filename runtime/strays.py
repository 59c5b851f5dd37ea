"""Strays: processes of runs on this host that belong to no start that counts any more, and nobody looks after.

Such a one is what is left when its run was cancelled or started again while this host was cut off.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import structlog
from django.conf import settings

from runtime import processes
from runtime.models import TaskRun
from runtime.states import RunStatus

log = structlog.get_logger("bbb.runtime")

# The processes of a host are looked through so often; those that were found are looked at again so soon.
_EVERY_S = 60.0
_AGAIN_S = 10.0
_START = re.compile(r"(\d+)\.(\d+)")


class Strays:
    """Ends the strays of this host. Seen twice makes a stray: a runner that has just ended its run is still there."""

    def __init__(self) -> None:
        self._suspects: set[str] = set()
        self._next_look = 0.0

    def end(self) -> None:
        """Look, when it is time to."""
        if time.monotonic() < self._next_look:
            return
        found = processes.tagged_below(settings.BBB_HOME / "runs")
        over = _over(found)
        for tag in over & self._suspects:
            log.warning("stray_ended", run=Path(tag).name, pids=found[tag])
            processes.end_processes(found[tag], settings.STOP_GRACE_S)
        self._suspects = over - self._suspects
        self._next_look = time.monotonic() + (_AGAIN_S if self._suspects else _EVERY_S)


def _over(tags: dict[str, list[int]]) -> set[str]:
    """Return the tags of starts that the database knows to be over. What it does not know is left alone."""
    starts = {
        tag: (int(match[1]), int(match[2])) for tag in tags if (match := _START.fullmatch(Path(tag).name)) is not None
    }
    runs = TaskRun.objects.in_bulk({run for run, _ in starts.values()}) if starts else {}
    return {tag for tag, (id_, epoch) in starts.items() if id_ in runs and not _counts(runs[id_], epoch)}


def _counts(run: TaskRun, epoch: int) -> bool:
    return run.epoch < epoch or (run.epoch == epoch and run.status == RunStatus.RUNNING)
