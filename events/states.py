"""The types of events, and how loud they are. A type is `<noun>.<what happened>`."""

from __future__ import annotations

from django.db.models import IntegerChoices, TextChoices


class EventType(TextChoices):
    TASK_CREATED = "task.created"
    TASK_UPDATED = "task.updated"
    TASK_DELETED = "task.deleted"
    TASK_STATUS_CHANGED = "task.status.changed"
    TASK_INTERVENTION_AUDIT = "task.intervention.audit"
    RUN_STATUS_CHANGED = "run.status.changed"
    RUN_PROGRESS = "run.progress"
    RUN_LOG = "run.log"
    RUN_STALE_WRITE_REJECTED = "run.stale_write_rejected"
    INBOX_ITEM_CREATED = "inbox.item.created"
    INBOX_ITEM_UPDATED = "inbox.item.updated"
    INBOX_ITEM_CLOSED = "inbox.item.closed"
    USER_INPUT_SUBMITTED = "user.input.submitted"
    ALERT_RAISED = "alert.raised"
    BREAKER_OPENED = "breaker.opened"
    BREAKER_CLOSED = "breaker.closed"
    AGENT_CREATED = "agent.created"
    AGENT_UPDATED = "agent.updated"
    AGENT_DELETED = "agent.deleted"
    PROJECT_CREATED = "project.created"
    PROJECT_UPDATED = "project.updated"
    PROJECT_DELETED = "project.deleted"
    DOCUMENT_CREATED = "document.created"
    DOCUMENT_UPDATED = "document.updated"
    DOCUMENT_DELETED = "document.deleted"
    COMMENT_CREATED = "comment.created"
    COMMENT_UPDATED = "comment.updated"
    COMMENT_DELETED = "comment.deleted"
    TOOL_COMMAND_AUDIT = "tool.command.audit"
    SECURITY_AUDIT_ACCESS = "security.audit.access"
    SECURITY_AUDIT_TOKEN = "security.audit.token"
    SECURITY_AUDIT_PATH = "security.audit.path"
    LOG_PRUNED = "log.pruned"
    LOAD_PROBE = "load.probe"


class Level(IntegerChoices):
    """How much an event, or a line of a log, wants to be seen; as numbers, so that an index finds what is at least so loud."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40

    @property
    def word(self) -> str:
        """The level as the API names it."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> Level:
        """Return the level with this name. Raises KeyError."""
        return cls[word.upper()]


UNCHAINED = frozenset({EventType.RUN_PROGRESS, EventType.RUN_LOG, EventType.LOAD_PROBE})
"""Types that come in floods: they are kept for a while only, and stand outside the audit chain."""

CHAINED = frozenset(EventType) - UNCHAINED
"""Control events: what was decided, done or refused. They are kept, and each is chained to the one before."""
