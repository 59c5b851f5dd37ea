"""The words of the deciding side, and which moves of a task are allowed."""

from __future__ import annotations

from django.db.models import IntegerChoices, TextChoices


class TaskStatus(TextChoices):
    TODO = "todo"  #: waits for its turn; *ready* when nothing is unmet and nobody holds it
    RUNNING = "running"  #: a run works on it, or will without anybody's help
    REVIEW = "review"  #: the work is there; a person reads it
    DONE = "done"  #: approved and merged
    BLOCKED = "blocked"  #: goes on when a person has answered, resumed or retried
    FAILED = "failed"  #: its attempts are used up, or the error was not worth another
    CANCELLED = "cancelled"  #: a person does not want it any more


_S = TaskStatus

MOVES: dict[TaskStatus, set[TaskStatus]] = {
    _S.TODO: {_S.RUNNING, _S.BLOCKED, _S.CANCELLED},
    _S.RUNNING: {_S.REVIEW, _S.DONE, _S.BLOCKED, _S.FAILED, _S.CANCELLED, _S.TODO},
    _S.REVIEW: {_S.TODO, _S.DONE, _S.BLOCKED, _S.FAILED, _S.CANCELLED},
    _S.BLOCKED: {_S.TODO, _S.CANCELLED},
    _S.FAILED: {_S.TODO, _S.CANCELLED},
    _S.CANCELLED: {_S.TODO},
    _S.DONE: set(),
}

# Nothing happens to such a task unless a person wants it: what is archived is one of these.
OVER = frozenset({_S.DONE, _S.FAILED, _S.CANCELLED})


def sources(target: TaskStatus) -> set[TaskStatus]:
    """Return the statuses from which `target` is reached in one move."""
    return {status for status, targets in MOVES.items() if target in targets}


class Priority(IntegerChoices):
    URGENT = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3
    LOWEST = 4


class TaskType(TextChoices):
    FEATURE = "feature"
    BUG = "bug"
    REFACTOR = "refactor"
    TEST = "test"
    DOCS = "docs"
    RESEARCH = "research"
    CHORE = "chore"


class Phase(TextChoices):
    PLAN = "plan"
    BUILD = "build"
    VERIFY = "verify"
    RELEASE = "release"


class AgentStatus(TextChoices):
    ACTIVE = "active"  #: takes tasks
    PAUSED = "paused"  #: finishes what it has, takes nothing new
    ARCHIVED = "archived"  #: kept for the history only


class PermissionMode(TextChoices):
    DONT_ASK = "dontAsk"  #: what the allow list does not name is denied
    ACCEPT_EDITS = "acceptEdits"  #: edits inside the worktree need no rule
    PLAN = "plan"  #: reads only


class DependencyKind(TextChoices):
    FINISH_TO_START = "finish_to_start"


class DocumentType(TextChoices):
    RULES = "rules"
    SPEC = "spec"
    NOTE = "note"


class CommentStatus(TextChoices):
    OPEN = "open"  #: the agent has not been told yet, or has not answered it
    ADDRESSED = "addressed"  #: a later run took it up
    RESOLVED = "resolved"  #: its author is content


class Reason(TextChoices):
    """Why a task does not start now: the planner's codes, and the console's "why is this not running?"."""

    DEPENDENCY = "dependency"
    HELD = "held"
    NOT_BEFORE = "not_before"
    NO_SLOT = "no_slot"
    AGENT_BUSY = "agent_busy"
    AGENT_PAUSED = "agent_paused"
    PROJECT_PAUSED = "project_paused"
    BUDGET = "budget"
    USAGE_LIMIT = "usage_limit"
    REVIEW_FULL = "review_full"
    RETRY_AT = "retry_at"
    NO_AGENT = "no_agent"
    NO_CLIENT = "no_client"  #: the client of its agent's provider is not installed, or has no login
