"""The words of the doing side, and which moves of a run are allowed."""

from __future__ import annotations

from django.db.models import TextChoices


class RunStatus(TextChoices):
    QUEUED = "queued"  #: claimed and about to start, or waiting for a slot
    RUNNING = "running"  #: a runner owns it
    RETRY_SCHEDULED = "retry_scheduled"  #: waits for `next_retry_at`
    INTERRUPTED = "interrupted"  #: the process is gone or parked; session and worktree are there
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


_S = RunStatus

MOVES: dict[RunStatus, set[RunStatus]] = {
    _S.QUEUED: {_S.RUNNING, _S.CANCELLED},
    _S.RUNNING: {_S.SUCCEEDED, _S.FAILED, _S.INTERRUPTED, _S.CANCELLED},
    _S.RETRY_SCHEDULED: {_S.QUEUED, _S.CANCELLED},
    _S.INTERRUPTED: {_S.QUEUED, _S.FAILED, _S.CANCELLED},
    _S.SUCCEEDED: set(),
    _S.FAILED: set(),
    _S.CANCELLED: set(),
}

ACTIVE = frozenset({_S.QUEUED, _S.RUNNING, _S.RETRY_SCHEDULED, _S.INTERRUPTED})
FINAL = frozenset(_S) - ACTIVE


def sources(target: RunStatus) -> set[RunStatus]:
    """Return the statuses from which `target` is reached in one move."""
    return {status for status, targets in MOVES.items() if target in targets}


class LogKind(TextChoices):
    TEXT = "text"
    THINKING = "thinking"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    SYSTEM = "system"
    STDERR = "stderr"
