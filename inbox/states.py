"""The words of the asking side."""

from __future__ import annotations

from django.db.models import TextChoices


class ItemType(TextChoices):
    AWAIT_USER_INPUT = "await_user_input"  #: an agent asks and waits for the answer
    TASK_COMPLETED = "task_completed"  #: work waits for a review
    PERMISSION_REQUEST = "permission_request"  #: an agent wants what its policy does not settle
    MERGE_CONFLICT = "merge_conflict"  #: approved work cannot land without a decision
    ALERT = "alert"  #: something needs a look


class ItemStatus(TextChoices):
    OPEN = "open"
    CLOSED = "closed"


class Resolution(TextChoices):
    """How an item was closed."""

    APPROVED = "approved"
    CHANGES_REQUESTED = "changes_requested"
    ANSWERED = "answered"
    DISMISSED = "dismissed"
    OBSOLETE = "obsolete"  #: what it asked for does not matter any more
