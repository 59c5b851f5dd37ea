from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from events.models import Event
from events.states import EventType
from orchestration.models import Task
from orchestration.tests.factories import make_project, make_task
from orchestration.tests.races import race
from runtime import duties, leases, schedulers
from runtime.dispatcher import Dispatcher
from runtime.duties import Chore, Duties
from runtime.models import Duty, SchedulerInstance
from security.models import IdempotentCommand

pytestmark = pytest.mark.django_db


class Diary:
    """What was done, by whom."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def of(self, owner: str, do: Callable[[str], object] | None = None, *, every_s: float = 3600) -> Duties:
        """Return what a scheduler knows of one duty, which it has not looked at for long enough."""
        made = Duties([Chore("sweep", every_s, do or self.done.append)], owner=owner)
        return look_again(made)


def look_again(made: Duties) -> Duties:
    made._next_look = dict.fromkeys(made._next_look, time.monotonic())
    return made


@pytest.fixture
def diary() -> Diary:
    return Diary()


def make_due() -> None:
    Duty.objects.update(due_at=leases.now() - timedelta(seconds=1))


def test_one_of_several_schedulers_does_what_is_due(diary: Diary) -> None:
    one, two = diary.of("one"), diary.of("two")
    assert [one.run_due(), two.run_due()] == [["sweep"], []]
    assert diary.done == ["scheduler:one"]


def test_it_is_done_again_when_its_time_has_come_by_whoever_looks_first(diary: Diary) -> None:
    one, two = diary.of("one"), diary.of("two")
    assert one.run_due() == ["sweep"]
    assert look_again(one).run_due() == []
    make_due()
    assert [two.run_due(), look_again(one).run_due()] == [["sweep"], []]


def test_nobody_is_asked_while_nothing_can_be_due(diary: Diary) -> None:
    one = diary.of("one")
    one.run_due()
    with CaptureQueriesContext(connection) as queries:
        assert one.run_due() == []
        assert Duties(duties.chores(), owner="new").run_due() == []
    assert len(queries) == 0


@pytest.mark.django_db(transaction=True)
def test_of_two_who_look_at_once_one_does_it(diary: Diary) -> None:
    both = [diary.of("one"), diary.of("two")]
    for _ in range(3):
        race(*(partial(Duties.run_due, look_again(one)) for one in both))
        make_due()
    assert len(diary.done) == 3


def test_what_somebody_is_at_is_left_to_them_until_their_lease_ends(diary: Diary) -> None:
    now = leases.now()
    Duty.objects.create(name="sweep", owner="dead", until=leases.until(now), due_at=now)
    one = diary.of("one")
    assert one.run_due() == []
    Duty.objects.update(until=now - timedelta(seconds=1))
    assert look_again(one).run_due() == ["sweep"]
    assert Duty.objects.get().owner == ""


def test_it_looks_again_when_the_lease_of_the_other_ends(diary: Diary, settings: Settings) -> None:
    now = leases.now()
    Duty.objects.create(name="sweep", owner="other", until=leases.until(now), due_at=now)
    one = diary.of("one")
    one.run_due()
    assert one._next_look["sweep"] - time.monotonic() <= settings.LEASE_S


def test_who_took_longer_than_its_lease_takes_nothing_from_the_next(diary: Diary) -> None:
    def overtaken(actor: str) -> None:
        Duty.objects.update(owner="two")

    diary.of("one", overtaken).run_due()
    assert Duty.objects.get().owner == "two"


def test_one_that_fails_is_tried_again_at_its_next_time(diary: Diary, caplog: pytest.LogCaptureFixture) -> None:
    def fail(actor: str) -> None:
        raise RuntimeError("A mistake.")

    one = diary.of("one", fail)
    assert one.run_due() == ["sweep"]
    assert "duty_failed" in caplog.text
    assert (Duty.objects.get().owner, Duty.objects.get().due_at > leases.now()) == ("", True)


def test_a_database_that_goes_away_is_the_loops_concern(diary: Diary) -> None:
    def lose(actor: str) -> None:
        raise OperationalError("away")

    with pytest.raises(OperationalError):
        diary.of("one", lose).run_due()


def test_what_a_database_that_went_away_has_cut_off_is_done_when_it_is_back(diary: Diary) -> None:
    """The heartbeat renews the lease of a duty as well, so it would never be anybody else's."""

    def lose_once(actor: str) -> None:
        diary.done.append(actor)
        if len(diary.done) == 1:
            raise OperationalError("away")

    one = diary.of("one", lose_once)
    with pytest.raises(OperationalError):
        one.run_due()
    leases.renew("one")
    assert one.run_due() == []  # it keeps nothing else waiting
    assert look_again(one).run_due() == ["sweep"]
    assert Duty.objects.get().owner == ""


def test_a_tick_does_what_is_due(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    settings.STUCK_SCAN_INTERVAL_S = 60
    scheduler = Dispatcher()
    scheduler.tick()
    assert not Duty.objects.exists()
    look_again(scheduler._duties)
    scheduler.tick()
    done = {(name.partition(":")[0], owner) for name, owner in Duty.objects.values_list("name", "owner")}
    assert done == {(name, "") for name in ("retention", "prune", "run_files", "audit", "stuck_scan")}
    assert not Duty.objects.filter(due_at__lte=leases.now()).exists()
    assert "duty_failed" not in caplog.text


# What the duties are


def test_stored_answers_and_schedulers_that_are_long_gone_are_forgotten() -> None:
    now = timezone.now()
    for key, expires_at in (("old", now - timedelta(seconds=1)), ("new", now + timedelta(hours=1))):
        IdempotentCommand.objects.create(
            scope="user:1", key=key, fingerprint="f", status_code=200, expires_at=expires_at
        )
    long_gone = schedulers.register()
    SchedulerInstance.objects.update(heartbeat_at=leases.now() - timedelta(days=8))
    lately = schedulers.register()
    duties.retain("scheduler:one")
    assert list(IdempotentCommand.objects.values_list("key", flat=True)) == ["new"]
    assert list(SchedulerInstance.objects.all()) == [lately] != [long_gone]


@pytest.mark.breaks_invariants
def test_the_auditor_says_what_does_not_hold_and_mends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = make_task(make_project(tmp_path / "repo"))
    Task.objects.filter(pk=task.pk).update(unmet_dependencies=3)
    duties.audit("scheduler:one")
    told = Event.objects.get(type=EventType.ALERT_RAISED)
    assert (told.payload["kind"], told.payload["details"]["rows"]) == (
        "invariants",
        [f"task:{task.pk} unmet_dependencies: expected 0, found 3"],
    )
    assert "invariants_broken" in caplog.text
    assert Task.objects.get().unmet_dependencies == 3


def test_the_auditor_is_silent_while_everything_holds(tmp_path: Path) -> None:
    make_task(make_project(tmp_path / "repo"))
    duties.audit("scheduler:one")
    assert not Event.objects.filter(type=EventType.ALERT_RAISED).exists()
