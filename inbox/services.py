"""Ask, notify, answer, close; reviews and approvals."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from django.db.models import F
from django.utils import timezone

from events import services as events
from events.states import EventType
from inbox.exceptions import ActionNotOffered, ItemClosed, UserInputRequired
from inbox.models import InboxItem
from inbox.states import ItemStatus, ItemType, Resolution
from orchestration.exceptions import InvalidTransition, VersionConflict
from orchestration.models import Project, Task
from orchestration.services import comments, tasks
from orchestration.services.interventions import audited, record_applied, require_version
from orchestration.services.locks import lock_tasks
from orchestration.services.rows import reread
from orchestration.states import TaskStatus
from sql.inserts import insert_all
from sql.prepared import PreparedQuery

_open_with = PreparedQuery(
    lambda keys: InboxItem.objects.open().filter(dedupe_key__in=keys).values_list("dedupe_key", flat=True)
)

Action = Literal["approve", "request_changes", "answer", "dismiss"]

_RESOLUTIONS: dict[str, Resolution] = {
    "approve": Resolution.APPROVED,
    "request_changes": Resolution.CHANGES_REQUESTED,
    "answer": Resolution.ANSWERED,
    "dismiss": Resolution.DISMISSED,
}
# How each type may be closed; the first is what closing without a word means.
OFFERED: dict[ItemType, tuple[Action, ...]] = {
    ItemType.AWAIT_USER_INPUT: ("answer",),
    ItemType.TASK_COMPLETED: ("approve", "request_changes"),
    ItemType.PERMISSION_REQUEST: ("answer", "dismiss"),
    ItemType.MERGE_CONFLICT: ("dismiss",),
    ItemType.ALERT: ("dismiss",),
}
_NEEDS_INPUT = {"answer", "request_changes"}
_DECISIONS = {"approve", "request_changes"}
"""What a person decides about work in review."""


def offered_by(item: InboxItem) -> tuple[Action, ...]:
    """Return how an item may be closed. An alert that proposes answers may also be answered."""
    plain = OFFERED[ItemType(item.item_type)]
    return (*plain, "answer") if item.item_type == ItemType.ALERT and item.options else plain


@events.unit_of_work()
def ask(
    item_type: ItemType,
    *,
    task: Task | None = None,
    project: Project | None = None,
    title: str,
    dedupe_key: str,
    actor: str,
    content: str = "",
    options: list[str] | None = None,
    run_id: int | None = None,
    trace_id: str | None = None,
) -> InboxItem:
    """Put an item into the inbox; while one with the same dedupe_key is open, that one is returned.

    It is about a task, or about the project as a whole when no task is given.
    """
    told = {"title": title[:300], "content": content, "options": options or []}
    place = {"project_id": task.project_id, "task": task} if task else {"project": project}
    about = place | {"run_id": run_id, "item_type": item_type}
    # Of two who ask in the same moment one gets the item of the other.
    item, is_new = InboxItem.objects.open().get_or_create(dedupe_key=dedupe_key, defaults=about | told)
    if is_new:
        _record_asked(item, actor=actor, trace_id=trace_id)
    return item


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What an item is to say about the end of a run."""

    task: Task
    title: str
    content: str
    dedupe_key: str
    run_id: int
    trace_id: str


def ask_about_each(item_type: ItemType, notices: Collection[Notice], *, actor: str) -> None:
    """Put an item about each of these tasks into the inbox, as `ask` does.

    Runs in the caller's unit of work. The tasks are locked, so nobody else asks about them in this moment.
    """
    keys = [notice.dedupe_key for notice in notices]
    known = set(_open_with(keys))
    new = {notice.dedupe_key: notice for notice in notices if notice.dedupe_key not in known}
    items = [_item(item_type, notice) for notice in new.values()]
    insert_all(InboxItem, items)
    for item in items:
        _record_asked(item, actor=actor, trace_id=new[item.dedupe_key].trace_id)


def _item(item_type: ItemType, notice: Notice) -> InboxItem:
    return InboxItem(
        project_id=notice.task.project_id,
        task_id=notice.task.pk,
        run_id=notice.run_id,
        item_type=item_type,
        title=notice.title[:300],
        content=notice.content,
        dedupe_key=notice.dedupe_key,
    )


def _record_asked(item: InboxItem, *, actor: str, trace_id: str | None) -> None:
    events.append(
        EventType.INBOX_ITEM_CREATED,
        **_place(item),
        actor=actor,
        trace_id=trace_id,
        item_id=item.pk,
        item_type=item.item_type,
        title=item.title,
    )


@events.unit_of_work()
def close_item(
    item: InboxItem,
    *,
    actor: str,
    action: Action | None = None,
    user_input: str = "",
    expected_version: int | None = None,
) -> InboxItem:
    """Close an item and carry out what that means: an approval, a request for changes, an answer.

    Without `action`, the first that the type offers. Raises ItemClosed, ActionNotOffered, UserInputRequired,
    InvalidTransition, VersionConflict.
    """
    action = action or offered_by(item)[0]
    _carry_out(item, action, actor=actor, user_input=user_input, expected_version=expected_version)
    if item.task is not None and action in _DECISIONS:
        record_applied(item.task, action, actor=actor)
    return item


def _carry_out(
    item: InboxItem, action: Action, *, actor: str, user_input: str, expected_version: int | None = None
) -> None:
    offered = offered_by(item)
    if action not in offered:
        raise ActionNotOffered(f"An item of the type {item.item_type} closes with {' or '.join(offered)}.")
    if action in _NEEDS_INPUT and not user_input.strip():
        raise UserInputRequired
    if item.task_id is not None:
        # A command locks its task before it closes the task's items: the same order here.
        lock_tasks([item.task_id])
    _close(item, _RESOLUTIONS[action], actor=actor, user_input=user_input, expected_version=expected_version)
    if action in _DECISIONS:
        _settle_review(item, action, actor=actor)
    if user_input.strip():
        _record_input(item, actor=actor)


@audited("approve")
def approve_task(task: Task, *, actor: str, expected_version: int | None = None) -> Task:
    """Approve the work that waits in review. Raises InvalidTransition, VersionConflict."""
    require_version(task, expected_version)
    _close_review(task, "approve", actor=actor)
    return reread(task)


@audited("request_changes")
def request_changes(task: Task, *, changes: str, actor: str, expected_version: int | None = None) -> Task:
    """Send work in review back with what to change. Raises UserInputRequired, InvalidTransition, VersionConflict."""
    require_version(task, expected_version)
    if not changes.strip():
        raise UserInputRequired("Say what to change: an agent begins again with these words.", field="changes")
    _close_review(task, "request_changes", changes, actor=actor)
    return reread(task)


@events.unit_of_work()
def mark_read(item: InboxItem, *, actor: str, expected_version: int | None = None) -> InboxItem:
    """Note that a person has seen the item. Raises VersionConflict."""
    rows = InboxItem.objects.filter(pk=item.pk)
    if expected_version is not None:
        rows = rows.filter(version=expected_version)
    is_new = rows.filter(is_read=False).update(is_read=True, version=F("version") + 1)
    item.refresh_from_db()
    if not is_new and expected_version not in (None, item.version):
        raise VersionConflict(None, version=item.version)
    if is_new:
        events.append(
            EventType.INBOX_ITEM_UPDATED,
            **_place(item),
            actor=actor,
            id=item.pk,
            version=item.version,
            fields=["is_read"],
        )
    return item


def is_waiting_for_answer(run_id: int) -> bool:
    """Tell whether a question of a run is open, or answered and not delivered."""
    questions = InboxItem.objects.filter(run_id=run_id, item_type=ItemType.AWAIT_USER_INPUT)
    return questions.open().exists() or questions.undelivered().exists()


@events.unit_of_work()
def close_obsolete(task: Task, *, actor: str, item_types: set[ItemType] | None = None) -> None:
    """Close what is open about a task whose course has changed."""
    items = InboxItem.objects.open().filter(task=task)
    if item_types is not None:
        items = items.filter(item_type__in=item_types)
    for item in items:
        _close(item, Resolution.OBSOLETE, actor=actor)


@events.unit_of_work()
def close_by_key(dedupe_key: str, *, actor: str) -> None:
    """Close the open item with this key, if there is one: what it told of is over."""
    item = InboxItem.objects.open().filter(dedupe_key=dedupe_key).first()
    if item is not None:
        with suppress(ItemClosed):  # a person dismisses it in this moment
            _close(item, Resolution.OBSOLETE, actor=actor)


@events.unit_of_work()
def close_unanswered(item_id: int | None, *, actor: str) -> bool:
    """Close an item that does not matter any more; False when it has been answered by now."""
    item = InboxItem.objects.filter(pk=item_id or 0).first()
    if item is not None and item.status == ItemStatus.OPEN:
        _close(item, Resolution.OBSOLETE, actor=actor)
    return item is None or item.resolution != Resolution.ANSWERED


def _close_review(task: Task, action: Action, user_input: str = "", *, actor: str) -> None:
    item = InboxItem.objects.open().filter(task=task, item_type=ItemType.TASK_COMPLETED).first()
    if item is None:
        now = "approved and waits to be merged" if task.approved_at else task.status
        raise InvalidTransition(f"Task {task.pk} is {now}; there is nothing to review.", status=task.status)
    _carry_out(item, action, actor=actor, user_input=user_input)


def _settle_review(item: InboxItem, action: Action, *, actor: str) -> None:
    task = item.task
    if task is None or task.status != TaskStatus.REVIEW:
        raise InvalidTransition("The task is not in review any more.", status=task.status if task else "")
    if action == "approve":
        tasks.mark_task(task, actor=actor, approved_at=timezone.now())
        return
    comments.create_comment(body=item.user_input, author=actor, actor=actor, task=task, run_id=item.run_id)
    tasks.move_task(task, TaskStatus.TODO, actor=actor, reason="changes requested")


def _close(
    item: InboxItem,
    resolution: Resolution,
    *,
    actor: str,
    user_input: str = "",
    expected_version: int | None = None,
) -> None:
    rows = InboxItem.objects.filter(pk=item.pk, status=ItemStatus.OPEN)
    if expected_version is not None:
        rows = rows.filter(version=expected_version)
    closed = rows.update(
        status=ItemStatus.CLOSED,
        resolution=resolution,
        resolver=actor,
        resolved_at=timezone.now(),
        user_input=user_input,
        is_read=True,
        version=F("version") + 1,
    )
    item.refresh_from_db()
    if not closed and item.status == ItemStatus.CLOSED:
        raise ItemClosed(None, status=item.status, resolution=item.resolution)
    if not closed:
        raise VersionConflict(None, version=item.version)
    events.append(
        EventType.INBOX_ITEM_CLOSED,
        **_place(item),
        actor=actor,
        item_id=item.pk,
        item_type=item.item_type,
        resolution=resolution,
    )


def _record_input(item: InboxItem, *, actor: str) -> None:
    events.append(
        EventType.USER_INPUT_SUBMITTED,
        **_place(item),
        actor=actor,
        item_id=item.pk,
        user_input=item.user_input,
    )


def _place(item: InboxItem) -> dict[str, Any]:
    """Return where the events about an item belong."""
    return {"project_id": item.project_id, "task_id": item.task_id, "run_id": item.run_id}
