from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from events import chain
from events.chain import BEGINNING, Link
from events.models import Event
from events.services import append, unit_of_work
from events.states import CHAINED, UNCHAINED, EventType
from events.tests.factories import ACTOR, record
from events.verification import Break, verify

pytestmark = pytest.mark.django_db

PROGRESS: dict[str, Any] = {"epoch": 1, "seq": 1, "kind": "text", "text": ""}


@pytest.fixture
def chained() -> list[Event]:
    return [record(task_id=number) for number in range(5)]


def broken(**options: Any) -> Break | None:
    # In small batches, so that every test meets their borders.
    return verify(batch=2, **options).broken


def edit(event: Event, **changes: Any) -> None:
    assert Event.objects.filter(pk=event.pk).update(**changes)


def test_the_chain_of_an_empty_log_holds() -> None:
    assert verify().broken is None
    assert chain.head() == BEGINNING


def test_a_log_nobody_has_touched_holds(chained: list[Event]) -> None:
    found = verify(batch=2)
    assert (found.checked, found.first, found.broken) == (5, BEGINNING, None)
    assert found.last == Link(5, chained[-1].chain_hash)


def test_events_of_one_unit_are_chained_in_their_order() -> None:
    with unit_of_work():
        for number in range(3):
            append(EventType.TASK_CREATED, project_id=1, actor=ACTOR, id=number, version=1)
    places = Event.objects.order_by("id").values_list("chain_seq", "payload__id")
    assert list(places) == [(1, 0), (2, 1), (3, 2)]
    assert broken() is None


@unit_of_work()
def fail_after_appending() -> None:
    append(EventType.TASK_CREATED, project_id=1, actor=ACTOR, id=1, version=1)
    raise ZeroDivisionError


def test_a_unit_that_fails_leaves_no_gap() -> None:
    record()
    with pytest.raises(ZeroDivisionError):
        fail_after_appending()
    assert record().chain_seq == 2
    assert broken() is None


def test_floods_stand_outside_the_chain() -> None:
    first, progress, second = record(), record(EventType.RUN_PROGRESS, **PROGRESS), record()
    assert [event.chain_seq for event in (first, progress, second)] == [1, None, 2]
    assert {EventType.RUN_PROGRESS, EventType.RUN_LOG} <= UNCHAINED
    assert not CHAINED & UNCHAINED


def test_appending_to_the_chain_costs_one_query_and_a_flood_none() -> None:
    record()
    with CaptureQueriesContext(connection) as control, unit_of_work():
        for number in range(3):
            append(EventType.TASK_CREATED, project_id=1, actor=ACTOR, id=number, version=1)
    with CaptureQueriesContext(connection) as flood, unit_of_work():
        append(EventType.RUN_PROGRESS, project_id=1, actor=ACTOR, **PROGRESS)
    assert sum(query["sql"].startswith("SELECT") and "chain_seq" in query["sql"] for query in control) == 1
    assert len(control) - len(flood) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"payload": {"id": 1, "version": 1, "title": "another"}},
        {"actor": "user:mallory"},
        {"task_id": 99},
        {"project_id": None},
        {"run_id": 1},
        {"agent_id": 1},
        {"trace_id": "x"},
        {"type": EventType.AGENT_CREATED},
        {"level": 10},
    ],
)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_an_edited_event_is_named(chained: list[Event], changes: dict[str, Any], place: int) -> None:
    edit(chained[place], **changes)
    found = broken()
    assert found
    assert found.event_id == chained[place].pk


def test_an_edited_time_is_named(chained: list[Event]) -> None:
    edit(chained[1], at=chained[0].at)
    found = broken()
    assert found
    assert found.event_id == chained[1].pk


def test_an_edited_event_with_its_hash_made_anew_is_betrayed_by_the_next(chained: list[Event]) -> None:
    chained[1].actor = "user:mallory"
    before = Link(1, chained[0].chain_hash)
    edit(chained[1], actor="user:mallory", chain_hash=chain.digest(chained[1], before))
    found = broken()
    assert found
    assert found.event_id == chained[2].pk


@pytest.mark.parametrize(("place", "told"), [(0, "1 to 1"), (2, "3 to 3")])
def test_a_deleted_event_is_missing(chained: list[Event], place: int, told: str) -> None:
    Event.objects.filter(pk=chained[place].pk).delete()
    found = broken()
    assert found
    assert found.event_id == chained[place + 1].pk
    assert told in found.what


def test_two_swapped_events_are_named(chained: list[Event]) -> None:
    first, second = chained[1], chained[2]
    for event, other in ((first, second), (second, first)):
        edit(event, task_id=other.task_id, at=other.at, payload=other.payload, trace_id=other.trace_id)
    found = broken()
    assert found
    assert found.event_id == first.pk


def test_events_that_change_places_in_the_log_are_named(chained: list[Event]) -> None:
    first, second = chained[1].pk, chained[2].pk
    for old, new in ((first, 10**9), (second, first), (10**9, second)):
        Event.objects.filter(pk=old).update(id=new)
    found = broken()
    assert found
    assert "before it in the log" in found.what


def test_a_removed_end_is_missed_by_who_has_noted_it(chained: list[Event]) -> None:
    noted = chain.head()
    Event.objects.filter(pk=chained[-1].pk).delete()
    assert broken() is None
    found = broken(expected=noted)
    assert found
    assert "its end was removed" in found.what


def test_a_chain_that_was_written_anew_is_not_the_one_that_was_noted(chained: list[Event]) -> None:
    found = broken(expected=Link(3, "0" * 64))
    assert found
    assert found.event_id == chained[2].pk


def test_what_comes_after_the_noted_end_may_come(chained: list[Event]) -> None:
    noted = chain.head()
    record()
    assert broken(expected=noted) is None


def test_an_event_put_in_by_hand_stands_outside(chained: list[Event]) -> None:
    forged = Event.objects.create(at=chained[0].at, type=EventType.TASK_DELETED, actor=ACTOR, trace_id="t")
    found = broken()
    assert found
    assert found.event_id == forged.pk
    assert broken(accept_outside=True) is None


def test_the_chain_begins_with_the_first_event_that_has_a_hash() -> None:
    record(), record()
    Event.objects.update(chain_seq=None, chain_hash="")
    assert record().chain_seq == 1
    assert broken() is None


@pytest.mark.breaks_invariants
def test_the_database_refuses_a_fork(chained: list[Event]) -> None:
    fork = {"at": chained[0].at, "type": EventType.TASK_CREATED, "actor": ACTOR, "trace_id": "t"}
    with pytest.raises(IntegrityError), transaction.atomic():
        Event.objects.create(chain_seq=2, chain_hash="0" * 64, **fork)


def test_what_the_database_gives_back_has_the_same_hash() -> None:
    details = {
        "numbers": [0, 1.0, 0.1, 1e22, -1e300, 1e-7, 2**70, -0.0, 123456789.123456789],
        "texts": ["", "\u00fc\u4e2d\U0001f41d", 'a "quoted"\n\tline', "\u2028"],
        "nested": {"z": [{"b": None, "a": True}], "a": {}},
    }
    record(EventType.ALERT_RAISED, kind="x", message="\u00e4", details=details)
    assert broken() is None


def test_the_command_tells_the_end_and_takes_it_again(chained: list[Event]) -> None:
    out = StringIO()
    call_command("verify_audit", stdout=out)
    noted = out.getvalue().splitlines()[-1]
    assert noted == str(chain.head())
    call_command("verify_audit", f"--expect={noted}", stdout=out)


def test_the_command_fails_and_names_the_break(chained: list[Event]) -> None:
    edit(chained[1], actor="user:mallory")
    with pytest.raises(CommandError, match=rf"broken after 1 events. event {chained[1].pk}: ") as failed:
        call_command("verify_audit")
    assert failed.value.returncode == 1


class TestExport:
    def exported(self, *arguments: str) -> list[dict[str, Any]]:
        out = StringIO()
        call_command("export_events", *arguments, stdout=out)
        return [json.loads(line) for line in out.getvalue().splitlines()]

    def test_a_line_is_the_event_with_its_place_in_the_chain(self, chained: list[Event]) -> None:
        lines = self.exported()
        places = [{"chain_seq": event.chain_seq, "chain_hash": event.chain_hash} for event in chained]
        assert lines == [event.frame() | place for event, place in zip(chained, places, strict=True)]

    def test_it_is_narrowed(self, chained: list[Event]) -> None:
        alert = record(EventType.ALERT_RAISED, kind="x", message="")
        lines = self.exported(f"--after={chained[1].pk}", f"--until={chained[3].pk}")
        assert [line["id"] for line in lines] == [chained[2].pk, chained[3].pk]
        assert [line["id"] for line in self.exported("--type=alert.")] == [alert.pk]
        assert [line["id"] for line in self.exported("--type=alert.raised")] == [alert.pk]

    def test_every_number_is_written(self) -> None:
        record(EventType.ALERT_RAISED, kind="x", message="", details={"number": 2**70})
        assert self.exported()[0]["payload"]["details"] == {"number": 2**70}

    def test_a_type_that_is_not_there_is_refused(self) -> None:
        with pytest.raises(CommandError, match=r"no type task\.nonsense"):
            self.exported("--type=task.nonsense")
