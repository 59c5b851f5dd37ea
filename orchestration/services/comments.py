"""Comments: what somebody says about a task, a diff or a document."""

from __future__ import annotations

from django.db.models import F

from events import services as events
from events.states import EventType
from orchestration.exceptions import Invalid
from orchestration.models import Comment, Document, Task
from orchestration.services.rows import checked
from orchestration.states import CommentStatus


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
    about = task or document
    events.append(
        EventType.COMMENT_CREATED,
        project_id=about.project_id if about else None,
        task_id=task.pk if task else None,
        run_id=run_id,
        actor=actor,
        id=comment.pk,
        version=1,
    )
    return comment


def mark_addressed(task: Task) -> None:
    """Note that a run has taken up what was said about the task. Runs inside the run's transaction."""
    task.comments.filter(status=CommentStatus.OPEN).update(status=CommentStatus.ADDRESSED, version=F("version") + 1)
