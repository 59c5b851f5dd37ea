from __future__ import annotations

from pathlib import Path

import pytest

from events.models import Event
from events.states import EventType
from inbox import services
from inbox.exceptions import ActionNotOffered, ItemClosed, UserInputRequired
from inbox.models import InboxItem
from inbox.states import ItemStatus, ItemType, Resolution
from orchestration.exceptions import InvalidTransition, VersionConflict
from orchestration.models import Task
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_project, make_task, set_status

pytestmark = pytest.mark.django_db


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return make_task(make_project(tmp_path / "repo"))


def ask(task: Task, item_type: ItemType = ItemType.AWAIT_USER_INPUT, key: str = "q") -> InboxItem:
    return services.ask(item_type, task=task, title="?", dedupe_key=key, actor="agent:1")


def review(task: Task) -> InboxItem:
    set_status(task, TaskStatus.REVIEW)
    return ask(task, ItemType.TASK_COMPLETED)


def test_the_same_question_is_asked_once_while_open(task: Task) -> None:
    assert ask(task) == ask(task)
    assert Event.objects.filter(type=EventType.INBOX_ITEM_CREATED).count() == 1


def test_a_closed_question_may_be_asked_again(task: Task) -> None:
    first = services.close_item(ask(task), actor=ACTOR, user_input="42")
    assert ask(task) != first


def test_a_question_needs_an_answer(task: Task) -> None:
    item = ask(task)
    with pytest.raises(UserInputRequired):
        services.close_item(item, actor=ACTOR, user_input="  ")
    item.refresh_from_db()
    assert item.status == ItemStatus.OPEN


def test_an_answer_is_kept_and_recorded(task: Task) -> None:
    item = services.close_item(ask(task), actor=ACTOR, user_input="Use UTC")
    assert (item.resolution, item.user_input, item.resolver) == (Resolution.ANSWERED, "Use UTC", ACTOR)
    assert Event.objects.filter(type=EventType.USER_INPUT_SUBMITTED, payload__user_input="Use UTC").exists()


def test_closing_twice_is_refused(task: Task) -> None:
    item = services.close_item(ask(task), actor=ACTOR, user_input="yes")
    with pytest.raises(ItemClosed):
        services.close_item(item, actor=ACTOR, user_input="no")


def test_a_question_cannot_be_approved(task: Task) -> None:
    with pytest.raises(ActionNotOffered):
        services.close_item(ask(task), actor=ACTOR, action="approve")


def test_a_review_closed_without_a_word_approves(task: Task) -> None:
    item = services.close_item(review(task), actor=ACTOR)
    task.refresh_from_db()
    assert (item.resolution, task.status) == (Resolution.APPROVED, TaskStatus.REVIEW)
    assert task.approved_at is not None


@pytest.mark.parametrize("by", ["item", "task"])
def test_a_decision_is_on_record_once_by_whichever_door_it_came(task: Task, by: str) -> None:
    item = review(task)
    if by == "item":
        services.close_item(item, actor=ACTOR)
    else:
        services.approve_task(task, actor=ACTOR)
    audited = Event.objects.filter(type=EventType.TASK_INTERVENTION_AUDIT, task_id=task.pk)
    assert [(event.payload["command"], event.actor) for event in audited] == [("approve", ACTOR)]


def test_requested_changes_send_the_task_back_with_the_comment(task: Task) -> None:
    review(task)
    services.request_changes(task, changes="Name it better", actor=ACTOR)
    assert (task.status, task.comments.get().body) == (TaskStatus.TODO, "Name it better")


def test_changes_must_be_named(task: Task) -> None:
    review(task)
    with pytest.raises(UserInputRequired):
        services.request_changes(task, changes="", actor=ACTOR)


def test_approving_what_is_not_in_review_is_refused(task: Task) -> None:
    with pytest.raises(InvalidTransition):
        services.approve_task(task, actor=ACTOR)


def test_approving_a_task_that_has_moved_on_leaves_the_item_open(task: Task) -> None:
    item = review(task)
    set_status(task, TaskStatus.CANCELLED)
    with pytest.raises(InvalidTransition):
        services.close_item(item, actor=ACTOR)
    item.refresh_from_db()
    assert item.status == ItemStatus.OPEN


def test_what_has_changed_since_it_was_read_is_not_marked(task: Task) -> None:
    item = ask(task)
    InboxItem.objects.filter(pk=item.pk).update(version=item.version + 1)
    with pytest.raises(VersionConflict):
        services.mark_read(item, actor=ACTOR, expected_version=item.version)
    assert not InboxItem.objects.get(pk=item.pk).is_read


def proposing(task: Task) -> InboxItem:
    """Return an alert that proposes answers."""
    options = ["continue", "end"]
    return services.ask(ItemType.ALERT, task=task, title="?", options=options, dedupe_key="q", actor="agent:1")


def test_an_alert_that_proposes_answers_may_be_answered_or_dismissed(task: Task) -> None:
    item = services.close_item(proposing(task), actor=ACTOR, action="answer", user_input="end")
    assert (item.resolution, item.user_input) == (Resolution.ANSWERED, "end")
    assert services.close_item(proposing(task), actor=ACTOR).resolution == Resolution.DISMISSED


def test_a_plain_alert_cannot_be_answered(task: Task) -> None:
    with pytest.raises(ActionNotOffered):
        services.close_item(ask(task, ItemType.ALERT), actor=ACTOR, action="answer", user_input="end")


def test_what_was_answered_is_not_closed_as_obsolete(task: Task) -> None:
    answered = services.close_item(proposing(task), actor=ACTOR, action="answer", user_input="end")
    assert not services.close_unanswered(answered.pk, actor=ACTOR)
    left = proposing(task)
    assert services.close_unanswered(left.pk, actor=ACTOR)
    left.refresh_from_db()
    assert left.resolution == Resolution.OBSOLETE
