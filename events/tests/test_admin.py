from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from events import services as events
from events.models import Event
from events.states import EventType
from events.tests.factories import record
from security.roles import Role
from security.tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def event() -> Event:
    with events.unit_of_work():
        events.append(
            EventType.ALERT_RAISED, project_id=1, task_id=2, actor="user:maya", kind="test", message="<b>Buzz</b>"
        )
    return Event.objects.get()


def test_an_event_cannot_be_changed(event: Event, admin_client: Client) -> None:
    assert admin_client.post(reverse("admin:events_event_change", args=[event.pk]), {}).status_code == 403


def test_an_event_cannot_be_deleted(event: Event, admin_client: Client) -> None:
    url = reverse("admin:events_event_delete", args=[event.pk])
    assert admin_client.post(url, {"post": "yes"}).status_code == 403
    bulk = {"action": "delete_selected", "_selected_action": [event.pk], "post": "yes"}
    admin_client.post(reverse("admin:events_event_changelist"), bulk)
    assert Event.objects.filter(pk=event.pk).exists()


def test_an_event_cannot_be_added(admin_client: Client) -> None:
    assert admin_client.get(reverse("admin:events_event_add")).status_code == 403


def test_a_payload_is_indented_and_escaped(event: Event, admin_client: Client) -> None:
    page = admin_client.get(reverse("admin:events_event_change", args=[event.pk])).content.decode()
    assert "  &quot;message&quot;: &quot;&lt;b&gt;Buzz&lt;/b&gt;&quot;" in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"task_id": "2"}, 1),
        ({"task_id": "3"}, 0),
        ({"task_id": "nonsense"}, 1),
        ({"project_id": "1"}, 1),
        ({"type__exact": "alert.raised"}, 1),
        ({"type__exact": "task.created"}, 0),
        ({"q": "user:maya"}, 1),
        ({"q": "maya"}, 0),
        ({"kind": "alert"}, 1),
        ({"kind": "task"}, 0),
        ({"kind": "nonsense"}, 1),
    ],
)
def test_the_log_is_searched_by_whole_values(
    query: dict[str, str], found: int, event: Event, admin_client: Client
) -> None:
    page = admin_client.get(reverse("admin:events_event_changelist"), query)
    assert len(page.context["cl"].result_list) == found


@pytest.mark.parametrize(("role", "is_shown"), [(Role.OPERATOR, False), (Role.ADMIN, True)])
def test_what_the_guards_recorded_is_for_admins(role: Role, is_shown: bool, client: Client) -> None:
    user = make_user(role)
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client.force_login(user)
    guarded = record(EventType.SECURITY_AUDIT_TOKEN, project_id=None, action="x", resource="y", outcome="allowed")
    url = reverse("admin:events_event_change", args=[guarded.pk])
    assert (client.get(url).status_code == 200) is is_shown
    assert (url in client.get(reverse("admin:events_event_changelist")).content.decode()) is is_shown
