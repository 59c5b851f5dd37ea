from __future__ import annotations

from typing import Any

import pydantic
import pytest
from django.contrib.auth.models import Group

from events import trace
from events.models import Event
from events.schemas import SCHEMAS
from events.services import EventOutsideUnitOfWork, append, unit_of_work
from events.states import EventType
from events.tests.factories import ACTOR, record

pytestmark = pytest.mark.django_db


def create(title: str) -> None:
    append(EventType.TASK_CREATED, project_id=1, actor=ACTOR, id=1, version=1, title=title)


def titles() -> list[str]:
    return [event.payload["title"] for event in Event.objects.all()]


def test_an_event_outside_a_unit_of_work_is_refused() -> None:
    with pytest.raises(EventOutsideUnitOfWork):
        create("lost")


def test_events_are_written_at_the_end_of_their_unit() -> None:
    with unit_of_work():
        create("first")
        assert titles() == []
        create("second")
    assert titles() == ["first", "second"]


def create_and_fail(title: str) -> None:
    with unit_of_work():
        Group.objects.create(name=title)
        create(title)
        raise ZeroDivisionError


def nest_and_fail(title: str) -> None:
    with unit_of_work():
        with unit_of_work():
            create(title)
        raise ZeroDivisionError


def test_a_unit_that_fails_leaves_neither_change_nor_event() -> None:
    with pytest.raises(ZeroDivisionError):
        create_and_fail("lost")
    assert titles() == []
    assert not Group.objects.filter(name="lost").exists()


def test_a_nested_unit_that_fails_takes_only_its_own_with_it() -> None:
    with unit_of_work():
        create("outer")
        with pytest.raises(ZeroDivisionError):
            create_and_fail("inner")
        create("later")
    assert titles() == ["outer", "later"]
    assert not Group.objects.filter(name="inner").exists()


def test_a_nested_unit_goes_down_with_the_outer_one() -> None:
    with pytest.raises(ZeroDivisionError):
        nest_and_fail("inner")
    assert titles() == []


def test_after_a_failed_unit_the_next_one_begins_afresh() -> None:
    with pytest.raises(ZeroDivisionError):
        create_and_fail("lost")
    with unit_of_work():
        create("kept")
    assert titles() == ["kept"]


@pytest.mark.parametrize(
    "payload", [{}, {"id": 1}, {"id": "one", "version": 1}, {"id": 1, "version": 1, "colour": "red"}]
)
def test_a_payload_that_is_not_of_its_type_is_refused(payload: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError), unit_of_work():
        append(EventType.TASK_CREATED, project_id=1, actor=ACTOR, **payload)
    assert not Event.objects.exists()


def test_every_type_has_a_schema() -> None:
    assert set(SCHEMAS) == set(EventType)


def test_secrets_are_masked_at_the_door() -> None:
    event = record(
        EventType.USER_INPUT_SUBMITTED,
        item_id=1,
        user_input="use sk-ant-api03-AAAABBBBCCCCDDDD and postgres://bee:honeycomb@db/hive",
    )
    assert "AAAABBBB" not in event.payload["user_input"] and "honeycomb" not in event.payload["user_input"]


def test_secrets_are_masked_in_nested_data() -> None:
    event = record(EventType.ALERT_RAISED, kind="stuck", message="", details={"env": [{"API_KEY": "hunter2hunter2"}]})
    assert "hunter2" not in str(event.payload)


def test_an_event_carries_the_trace_that_is_bound() -> None:
    with trace.bound("trace-of-the-request"):
        assert record().trace_id == "trace-of-the-request"


def test_a_trace_that_is_given_wins() -> None:
    with trace.bound("trace-of-the-request"):
        assert record(trace_id="trace-of-the-run").trace_id == "trace-of-the-run"
