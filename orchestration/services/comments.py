"""Comments: what somebody says about a task, a diff or a document."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models import F

from events import services as events
from events.states import EventType
from orchestration.exceptions import Invalid
from orchestration.models import Comment, Document, Task
from orchestration.services.rows import checked, delete_row, update_row
from orchestration.states import CommentStatus
from sql.prepared import PreparedUpdate

_ADDRESSED = {"status": CommentStatus.ADDRESSED, "version": F("version") + 1}
_address = PreparedUpdate(lambda tasks: (Comment.objects.filter(task__in=tasks, status=CommentStatus.OPEN), _ADDRESSED))


@events.unit_of_work()
def create_comment(
    *,
    body: str,
    author: str,
    actor: str,
    task: Task | None = None,
    document: Document | None = None,
    run_id: int | None = None,
    anchor: str = "",
) -> Comment:
    """Comment on a task (with `run_id` and `anchor`: on a line of its diff) or on a document. Raises Invalid."""
    if (task is None) == (document is None):
        raise Invalid("A comment is about a task or about a document.")
    comment = Comment(body=body, author=author, task=task, document=document, run_id=run_id, anchor=anchor)
    checked(comment).save(force_insert=True)
    events.append(EventType.COMMENT_CREATED, **_place(comment), actor=actor, id=comment.pk, version=1)
    return comment


@events.unit_of_work()
def update_comment(comment: Comment, *, actor: str, expected_version: int | None = None, **changes: Any) -> Comment:
    """Change the words or the status of a comment. Raises Invalid, VersionConflict."""
    if fields := update_row(comment, expected_version=expected_version, changes=changes):
        events.append(
            EventType.COMMENT_UPDATED,
            **_place(comment),
            actor=actor,
            id=comment.pk,
            version=comment.version,
            fields=fields,
        )
    return comment


@events.unit_of_work()
def delete_comment(comment: Comment, *, actor: str, expected_version: int | None = None) -> None:
    """Delete a comment; one that is gone already is no error. Raises VersionConflict."""
    if delete_row(comment, expected_version=expected_version):
        events.append(EventType.COMMENT_DELETED, **_place(comment), actor=actor, id=comment.pk)


def _place(comment: Comment) -> dict[str, Any]:
    """Return where the events about a comment belong."""
    about = comment.task or comment.document
    return {"project_id": about.project_id if about else None, "task_id": comment.task_id, "run_id": comment.run_id}


def mark_addressed(tasks: Collection[Task]) -> None:
    """Note that runs have taken up what was said about their tasks. Runs inside their transaction."""
    _address([task.pk for task in tasks])
