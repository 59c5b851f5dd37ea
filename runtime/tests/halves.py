"""The two halves of a begin, each in a transaction of its own, as schedulers of earlier versions make them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from events import services as events
from orchestration.scheduler import Choice
from runtime import starting
from runtime.models import TaskRun
from runtime.rundir import RunDirectory
from runtime.services import claims, handshakes


@events.unit_of_work()
def claim(choices: Iterable[Choice], *, owner: str) -> list[TaskRun]:
    """Claim, and begin nothing."""
    return claims.claim(choices, owner=owner)


@events.unit_of_work()
def shake_hands(runs: Sequence[TaskRun]) -> None:
    """Begin what was claimed."""
    handshakes.shake_hands(runs)


def start(run: TaskRun) -> RunDirectory:
    """Begin what was claimed, and launch it."""
    shake_hands([run])
    return starting.launch(run)
