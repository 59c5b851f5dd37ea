from __future__ import annotations

import pytest

from events.models import Event
from events.states import EventType
from security.services import revoke_token
from security.tests.factories import ACTOR, make_token, make_user

pytestmark = pytest.mark.django_db


def test_making_a_token_is_on_record() -> None:
    token, text = make_token(make_user(username="ada"), name="ci", scope="write")
    event = Event.objects.get()
    assert (event.type, event.actor) == (EventType.SECURITY_AUDIT_TOKEN, ACTOR)
    assert event.payload["action"] == "token.create"
    assert event.payload["resource"] == f"ApiToken {token.pk} (ci)"
    assert event.payload["reason"] == "for ada, scopes write"
    assert text not in str(event.frame())


def test_revoking_a_token_is_on_record_once() -> None:
    token, _ = make_token(make_user())
    revoke_token(token, actor=ACTOR)
    revoke_token(token, actor=ACTOR)
    actions = [event.payload["action"] for event in Event.objects.all()]
    assert actions == ["token.create", "token.revoke"]
