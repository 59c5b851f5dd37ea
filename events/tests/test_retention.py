from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from events import chain, retention, verification
from events.models import Event, Floor
from events.states import EventType
from events.tests.factories import ACTOR, record
from events.verification import verify

pytestmark = pytest.mark.django_db

PROGRESS: dict[str, Any] = {"epoch": 1, "seq": 1, "kind": "text", "text": ""}


@pytest.fixture(autouse=True)
def days(settings: Settings) -> None:
    settings.KEEP_PROGRESS_DAYS, settings.KEEP_EVENTS_DAYS = 30, 0


def old(number: int, type_: EventType = EventType.RUN_PROGRESS, **payload: Any) -> list[int]:
    """Record events 40 days ago."""
    payload = payload or (PROGRESS if type_ == EventType.RUN_PROGRESS else {})
    now = timezone.now
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timezone, "now", lambda: now() - timedelta(days=40))
        return [record(type_, **payload).pk for _ in range(number)]


def prune(**options: Any) -> int:
    return retention.prune(actor=ACTOR, pause_s=0, **options)


def kept() -> list[int]:
    return list(Event.objects.order_by("id").values_list("pk", flat=True))


def test_old_floods_go_and_young_ones_stay() -> None:
    old(3)
    young = record(EventType.RUN_PROGRESS, **PROGRESS).pk
    assert prune() == 3
    assert kept() == [young]


def test_control_events_stay_for_ever() -> None:
    decided = old(2, EventType.TASK_CREATED)
    old(2)
    assert prune() == 2
    assert kept() == decided
    assert verify().broken is None


def test_0_days_keep_for_ever(settings: Settings) -> None:
    settings.KEEP_PROGRESS_DAYS = 0
    assert (old(2), prune()) == (kept(), 0)


def test_it_goes_in_batches_as_long_as_there_is_time() -> None:
    recorded = old(7)
    assert prune(batch=2, within_s=0) == 2
    assert kept() == recorded[2:]
    assert prune(batch=2) == 5


def test_the_floor_is_the_newest_event_that_is_gone() -> None:
    assert retention.floor() == 0
    gone = old(3)
    young = record(EventType.RUN_PROGRESS, **PROGRESS).pk
    prune()
    assert retention.floor() == gone[-1] < young


def test_the_floor_of_types_that_are_kept_is_0() -> None:
    gone = old(1)
    prune()
    assert retention.floor(lambda type_: type_.startswith("task.")) == 0
    assert retention.floor(lambda type_: type_.startswith("run.")) == gone[-1]


def test_the_floor_never_falls() -> None:
    old(1)
    prune()
    Floor.objects.update(cursor=10**6)
    old(1)
    prune()
    assert retention.floor() == 10**6


def test_the_end_of_the_chain_stays(settings: Settings) -> None:
    settings.KEEP_EVENTS_DAYS = 35
    old(1, EventType.TASK_CREATED)
    end = chain.head()
    assert prune(batch=1) == 0
    assert chain.head() == end


class TestControlEvents:
    @pytest.fixture(autouse=True)
    def days(self, settings: Settings, days: None) -> None:
        settings.KEEP_EVENTS_DAYS = 35

    def test_they_go_when_a_person_wants_that_and_the_chain_holds(self) -> None:
        recorded = old(7, EventType.TASK_CREATED)
        assert prune(batch=2) == 6
        assert kept()[0] == recorded[-1]
        found = verify()
        assert (found.broken, found.first.seq) == (None, 6)

    def test_each_batch_says_how_far_the_chain_is_gone(self) -> None:
        recorded = old(5, EventType.TASK_CREATED)
        links = dict(Event.objects.values_list("chain_seq", "chain_hash"))
        prune(batch=2)
        said = Event.objects.filter(type=EventType.LOG_PRUNED).order_by("id").values_list("payload", flat=True)
        assert list(said) == [
            {"count": 2, "cursor": recorded[1], "chain_seq": 2, "chain_hash": links[2]},
            {"count": 2, "cursor": recorded[3], "chain_seq": 4, "chain_hash": links[4]},
        ]

    def test_the_chain_holds_also_for_who_looks_meanwhile(self, monkeypatch: pytest.MonkeyPatch) -> None:
        old(7, EventType.TASK_CREATED)
        start = verification._start

        def prune_behind_it() -> Any:
            found = start()
            prune(batch=2)
            return found

        monkeypatch.setattr(verification, "_start", prune_behind_it)
        assert verify().broken is None

    def test_who_removes_more_than_was_pruned_is_caught(self) -> None:
        old(7, EventType.TASK_CREATED)
        prune(batch=2)
        Event.objects.filter(chain_seq=7).delete()
        found = verify().broken
        assert found
        assert "7 to 7" in found.what

    def test_what_is_older_than_the_chain_goes_without_a_word(self) -> None:
        old(3, EventType.TASK_CREATED)
        Event.objects.update(chain_seq=None, chain_hash="")
        assert prune(batch=2) == 3
        assert kept() == []


class TestCommand:
    def told(self, *arguments: str) -> str:
        out = StringIO()
        call_command("prune_events", *arguments, "--pause-s=0", stdout=out)
        return out.getvalue()

    def test_the_preview_counts_and_removes_nothing(self) -> None:
        recorded = old(3)
        assert self.told("--dry-run").split() == [
            "run.progress",
            "3",
            "3",
            "events",
            "would",
            "be",
            "removed;",
            "nothing",
            "is.",
        ]
        assert kept() == recorded

    def test_it_removes(self) -> None:
        old(3)
        assert self.told() == "3 events are removed.\n"
        assert kept() == []
