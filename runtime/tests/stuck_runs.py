"""Runs that get nowhere, for tests: their logs, scans of them, and what came of it."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

from django.utils import timezone

from inbox.models import InboxItem
from inbox.states import ItemType
from runtime.models import RunLog, TaskRun
from runtime.rundir import RunDirectory
from runtime.stuck import delivery
from runtime.stuck.scanning import Scanner
from runtime.tests.factories import OWNER

Call = tuple[str, str]
LOOP: list[Call] = [("make", "error 1")] * 12
WORK: list[Call] = [(f"step {number}", f"result {number}") for number in range(12)]
_numbers = itertools.count()


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def write(run: TaskRun, *lines: tuple[str, dict[str, Any]], ago_s: float = 0) -> None:
    """Add lines to a run's log, as supervision does."""
    run.refresh_from_db(fields=["log_seq"])
    at = timezone.now() - timedelta(seconds=ago_s)
    rows = [
        RunLog(run=run, seq=seq, at=at, kind=kind, body=body)
        for seq, (kind, body) in enumerate(lines, start=run.log_seq + 1)
    ]
    RunLog.objects.bulk_create(rows)
    TaskRun.objects.filter(pk=run.pk).update(log_seq=run.log_seq + len(rows), log_offset=1)


def call(run: TaskRun, calls: list[Call], *, is_error: bool = False) -> None:
    lines: list[tuple[str, dict[str, Any]]] = []
    for command, result in calls:
        id_ = f"call-{next(_numbers)}"
        lines.append(("tool_call", {"id": id_, "name": "Bash", "input": {"command": command}}))
        lines.append(("tool_result", {"id": id_, "text": result, "is_error": is_error}))
    write(run, *lines)


def scan(scanner: Scanner) -> int:
    return scanner.scan("scheduler:test")


def deliver(owner: str = OWNER) -> int:
    return delivery.deliver(owner=owner)


def nudges(directory: RunDirectory) -> list[str]:
    files = sorted((directory.path / "control").glob("nudge-*.json"))
    return [str((directory.received(path.stem) or {})["text"]) for path in files]


def items() -> list[InboxItem]:
    return list(InboxItem.objects.filter(item_type=ItemType.ALERT).order_by("id"))


def asked_about(run: TaskRun, scanner: Scanner) -> InboxItem:
    """Let a run go in circles until a person is asked."""
    for _ in range(2):
        call(run, LOOP)
        scan(scanner)
        deliver()
    [item] = items()
    return item
