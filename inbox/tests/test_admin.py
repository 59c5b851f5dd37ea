from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from events.models import Event
from events.states import EventType
from inbox.models import InboxItem
from inbox.services import ask, close_item
from inbox.states import ItemStatus, ItemType, Resolution
from orchestration.models import Task
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_project, make_task, set_status

pytestmark = pytest.mark.django_db

CONFIRMED = {"_form_submitted": "on"}


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return set_status(make_task(make_project(tmp_path / "repo")), TaskStatus.REVIEW)


def make_item(task: Task, item_type: ItemType) -> InboxItem:
    key = f"{item_type}:{InboxItem.objects.count()}"
    return ask(item_type, task=task, title=f"About {item_type}", dedupe_key=key, actor=ACTOR, options=["yes", "no"])


def command(item: InboxItem, name: str) -> str:
    return reverse(f"admin:inbox_inboxitem_{name}_one", args=[item.pk])


def act(client: Client, name: str, *items: InboxItem) -> list[str]:
    """Run an action over items and return what the person is told."""
    data = {"action": name, "_selected_action": [item.pk for item in items]}
    response = client.post(reverse("admin:inbox_inboxitem_changelist"), data)
    assert response.status_code == 302
    return [str(message) for message in get_messages(response.wsgi_request)]


def test_open_items_stand_first(task: Task, admin_client: Client) -> None:
    first, second = make_item(task, ItemType.ALERT), make_item(task, ItemType.ALERT)
    close_item(second, actor=ACTOR)
    page = admin_client.get(reverse("admin:inbox_inboxitem_changelist"))
    assert [item.pk for item in page.context["cl"].result_list] == [first.pk, second.pk]


def test_dismiss_applies_where_it_can_and_says_why_not_elsewhere(task: Task, admin_client: Client) -> None:
    alert, review = make_item(task, ItemType.ALERT), make_item(task, ItemType.TASK_COMPLETED)
    applied, refused = act(admin_client, "dismiss", alert, review)
    assert applied == "1 dismissed."
    assert refused.startswith("About task_completed: ")
    assert InboxItem.objects.get(pk=alert.pk).resolution == Resolution.DISMISSED


def test_items_are_marked_as_read(task: Task, admin_client: Client) -> None:
    item = make_item(task, ItemType.ALERT)
    assert act(admin_client, "read", item) == ["1 marked as read."]
    item.refresh_from_db()
    assert (item.is_read, item.status) == (True, ItemStatus.OPEN)
    event = Event.objects.get(type=EventType.INBOX_ITEM_UPDATED)
    assert event.payload == {"id": item.pk, "version": item.version, "fields": ["is_read"]}


def test_approve_marks_the_work(task: Task, admin_client: Client) -> None:
    assert act(admin_client, "approve", make_item(task, ItemType.TASK_COMPLETED)) == ["1 approved."]
    assert Task.objects.get().approved_at is not None


def test_a_question_is_answered_with_words(task: Task, admin_client: Client) -> None:
    item = make_item(task, ItemType.AWAIT_USER_INPUT)
    assert "yes · no" in admin_client.get(command(item, "answer")).content.decode()
    admin_client.post(command(item, "answer"), {**CONFIRMED, "words": "Yes."})
    item.refresh_from_db()
    assert (item.resolution, item.user_input, item.resolver) == (Resolution.ANSWERED, "Yes.", "user:admin")


def test_an_answer_without_words_is_asked_for_again(task: Task, admin_client: Client) -> None:
    item = make_item(task, ItemType.AWAIT_USER_INPUT)
    assert admin_client.post(command(item, "answer"), CONFIRMED).status_code == 200
    assert InboxItem.objects.get().status == ItemStatus.OPEN


def test_changes_are_requested_with_words(task: Task, admin_client: Client) -> None:
    item = make_item(task, ItemType.TASK_COMPLETED)
    admin_client.post(command(item, "request_changes"), {**CONFIRMED, "words": "Smaller."})
    assert Task.objects.get().status == TaskStatus.TODO


def test_a_closed_item_is_not_closed_again(task: Task, admin_client: Client) -> None:
    item = close_item(make_item(task, ItemType.ALERT), actor=ACTOR)
    response = admin_client.post(command(item, "dismiss"), CONFIRMED)
    (message,) = get_messages(response.wsgi_request)
    assert "closed already" in str(message)


@pytest.mark.parametrize(
    ("item_type", "offered"),
    [
        (ItemType.AWAIT_USER_INPUT, ["Answer"]),
        (ItemType.TASK_COMPLETED, ["Request changes", "Approve"]),
        (ItemType.PERMISSION_REQUEST, ["Answer", "Dismiss"]),
        (ItemType.ALERT, ["Answer", "Dismiss"]),
    ],
)
def test_an_item_offers_what_its_type_allows(
    item_type: ItemType, offered: list[str], task: Task, admin_client: Client
) -> None:
    item = make_item(task, item_type)
    page = admin_client.get(reverse("admin:inbox_inboxitem_change", args=[item.pk]))
    assert [action["title"] for action in page.context["actions_detail"]] == offered


def test_an_alert_that_proposes_nothing_can_only_be_dismissed(task: Task, admin_client: Client) -> None:
    item = ask(ItemType.ALERT, task=task, title="About it", dedupe_key="plain", actor=ACTOR)
    page = admin_client.get(reverse("admin:inbox_inboxitem_change", args=[item.pk]))
    assert [action["title"] for action in page.context["actions_detail"]] == ["Dismiss"]


def test_what_an_agent_asked_is_escaped(task: Task, admin_client: Client) -> None:
    item = make_item(task, ItemType.AWAIT_USER_INPUT)
    InboxItem.objects.update(content="<img src=x onerror=alert(1)>")
    page = admin_client.get(reverse("admin:inbox_inboxitem_change", args=[item.pk])).content.decode()
    assert "<img src=x" not in page


def test_the_dialog_repeats_what_is_asked(task: Task, admin_client: Client) -> None:
    item = make_item(task, ItemType.AWAIT_USER_INPUT)
    InboxItem.objects.update(content="By count, or by alphabet?")
    dialog = admin_client.get(command(item, "answer")).content.decode()
    assert "By count, or by alphabet?" in dialog
    assert "Proposed: yes · no" in dialog


def test_items_are_listed_by_what_people_call_them(task: Task, admin_client: Client) -> None:
    make_item(task, ItemType.AWAIT_USER_INPUT)
    page = admin_client.get(reverse("admin:inbox_inboxitem_changelist")).content.decode()
    assert "Question" in page


def test_the_page_of_an_item_names_its_kind(task: Task, admin_client: Client) -> None:
    item = make_item(task, ItemType.TASK_COMPLETED)
    page = admin_client.get(reverse("admin:inbox_inboxitem_change", args=[item.pk])).content.decode()
    assert "Review" in page
    assert "(&#x27;Review" not in page


def test_an_item_leads_to_its_run(task: Task, admin_client: Client) -> None:
    item = make_item(task, ItemType.ALERT)
    InboxItem.objects.update(run_id=7)
    page = admin_client.get(reverse("admin:inbox_inboxitem_change", args=[item.pk])).content.decode()
    assert reverse("admin:runtime_taskrun_change", args=[7]) in page
