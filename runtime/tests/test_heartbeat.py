from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from pytest_django import Settings

from events.models import Event
from events.states import EventType
from orchestration.models import Agent, Project
from orchestration.tests.factories import make_agent, make_project, make_task
from runtime import heartbeat as beating
from runtime import leases, recovery, schedulers
from runtime.dispatcher import Dispatcher
from runtime.heartbeat import Heartbeat
from runtime.models import RunLog, SchedulerInstance, TaskRun
from runtime.starting import directory_of
from runtime.states import RunStatus
from runtime.supervision import Watch
from runtime.tests.factories import late_runs
from runtime.tests.runners import until
from runtime.tests.starts import begun, make_directory, say, start_process

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
# A thread sees only what is committed.
threads = pytest.mark.django_db(transaction=True)
on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="only there one can ask who is connected")


class Clock:
    """The time since the machine was started, set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(beating, "uptime_s", made)
    return made


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo", max_parallel_runs=9)


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=9)


def made() -> Heartbeat:
    return Heartbeat(schedulers.register(), lambda: False)


def last_beat() -> Any:
    return SchedulerInstance.objects.get().heartbeat_at


def beats_again() -> Callable[[], bool]:
    before = last_beat()
    return lambda: bool(last_beat() > before)


def fail_once(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> list[BaseException]:
    """Let the next beat fail; return what has been raised by now."""
    beat, raised = schedulers.beat, list[BaseException]()

    def failing(*given: Any, **named: Any) -> Any:
        if not raised:
            raised.append(error)
            raise error
        return beat(*given, **named)

    monkeypatch.setattr(schedulers, "beat", failing)
    return raised


def threads_of_hearts() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


# The thread


@threads
def test_work_that_keeps_the_loop_busy_delays_no_renewal(
    project: Project, agent: Agent, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LEASE_S = 1.5
    waited = list[bool]()

    def slow_recovery(**_: Any) -> list[Watch]:
        if not waited:
            waited.append(until(beats_again(), "a beat during the recovery"))
        return []

    monkeypatch.setattr(recovery, "adopt_abandoned", slow_recovery)
    Dispatcher().run(once=True)
    assert waited == [True]


@threads
def test_it_beats_by_itself_and_no_more_once_it_is_stopped(settings: Settings) -> None:
    settings.LEASE_S = 0.3
    beat = made()
    with beat:
        until(beats_again(), "a beat")
    assert not threads_of_hearts()


@on_postgresql
@threads
def test_its_connection_ends_with_it(settings: Settings) -> None:
    settings.LEASE_S = 0.3
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid != pg_backend_pid()"

    def connected() -> int:
        with connection.cursor() as cursor:
            cursor.execute(others)
            return int(cursor.fetchone()[0])

    beat, before = made(), connected()
    with beat:
        until(lambda: connected() == before + 1, "its connection")
    until(lambda: connected() == before, "its connection to end")


@threads
@pytest.mark.parametrize("error", [OperationalError("away"), RuntimeError("A mistake.")])
def test_a_beat_that_fails_is_made_up_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    settings.LEASE_S = 0.3
    raised = fail_once(monkeypatch, error)
    with made():
        until(lambda: raised, "the failure")
        until(beats_again(), "the next beat")


@threads
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_has_died_is_noticed_and_replaced(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings.LEASE_S = 1.5
    raised = fail_once(monkeypatch, SystemExit())
    beat = made()
    with beat:
        until(lambda: raised, "its death")
        until(lambda: not threads_of_hearts(), "the end of the thread")
        beat.keep()
        assert "heartbeat_died" in caplog.text
        until(beats_again(), "the next beat")


@threads
def test_a_loop_that_hangs_keeps_no_leases_until_it_comes_back(
    clock: Clock, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings.LEASE_S = 0.3
    monkeypatch.setattr(Heartbeat, "_pause_s", lambda _: 0.05)
    beat = made()
    clock.now += beating.HUNG_S + 1
    is_beaten = beats_again()
    with beat:
        until(lambda: "loop_hangs" in caplog.text, "somebody to notice")
        assert not is_beaten()
        beat.keep()
        assert is_beaten()
        assert not beat.is_trusted


# The clock


def test_leases_that_were_not_renewed_in_time_are_not_trusted_until_that_is_noted(
    clock: Clock, settings: Settings
) -> None:
    beat = made()
    clock.now += settings.LEASE_S
    assert beat.is_trusted
    clock.now += 0.1
    assert not beat.is_trusted
    # Also when the renewal came before anybody looked.
    beat.beat()
    assert not beat.is_trusted
    beat.took_note()
    assert beat.is_trusted


def test_who_was_away_gives_the_others_the_time_of_a_lease(clock: Clock, settings: Settings) -> None:
    beat = made()
    assert beat.may_judge(leases.now())
    clock.now += settings.LEASE_S * 2 / 3 + 1
    beat.beat()
    assert not beat.may_judge(leases.now())
    clock.now += settings.LEASE_S
    assert beat.may_judge(leases.now())


def test_a_clock_that_was_set_makes_nobody_late(clock: Clock, settings: Settings) -> None:
    beat = made()
    an_hour_later = leases.now() + timedelta(hours=1)
    assert not beat.may_judge(an_hour_later)


def test_without_its_thread_the_loop_beats_every_third_of_a_lease(clock: Clock, settings: Settings) -> None:
    beat = made()
    is_beaten = beats_again()
    clock.now += settings.LEASE_S / 3 - 0.1
    beat.keep()
    assert not is_beaten()
    clock.now += 0.2
    beat.keep()
    assert is_beaten()


# What a scheduler makes of it


def at_work(dispatcher: Dispatcher, project: Project, agent: Agent, tmp_path: Path) -> TaskRun:
    """Return a run that this scheduler looks after, and whose runner lives."""
    run = begun(make_task(project), agent, dispatcher.actor.removeprefix("scheduler:"))
    start_process(make_directory(run, tmp_path))
    assert dispatcher.recover()
    return run


def sleep_for(clock: Clock, seconds: float) -> None:
    """Let the machine sleep, everybody on it: no lease is renewed meanwhile."""
    clock.now += seconds
    past = leases.now() - timedelta(seconds=seconds)
    TaskRun.objects.update(lease_until=past + timedelta(seconds=1))


def owner_of(run: TaskRun) -> tuple[str, str, int]:
    found = TaskRun.objects.get(pk=run.pk)
    return f"scheduler:{found.owner}", found.status, found.epoch


def stale_writes() -> int:
    return Event.objects.filter(type=EventType.RUN_STALE_WRITE_REJECTED).count()


@pytest.mark.parametrize("leases_long", [0.9, 3])
def test_after_a_sleep_of_the_machine_every_scheduler_keeps_its_runs(
    project: Project, agent: Agent, clock: Clock, settings: Settings, tmp_path: Path, leases_long: float
) -> None:
    one, two = Dispatcher(), Dispatcher()
    runs = [at_work(scheduler, project, agent, tmp_path) for scheduler in (one, two)]
    sleep_for(clock, settings.LEASE_S * leases_long)
    for scheduler in (one, two, one, two):
        scheduler.tick()
    assert [owner_of(run) for run in runs] == [(one.actor, "running", 1), (two.actor, "running", 1)]
    assert stale_writes() == 0
    assert late_runs() == []


def test_who_does_not_come_back_from_the_sleep_is_relieved_a_lease_later(
    project: Project, agent: Agent, clock: Clock, settings: Settings, tmp_path: Path
) -> None:
    one, two = Dispatcher(), Dispatcher()
    run = at_work(two, project, agent, tmp_path)
    sleep_for(clock, settings.LEASE_S * 3)
    one.tick()
    assert owner_of(run)[0] == two.actor
    for _ in range(4):
        clock.now += settings.LEASE_S / 3
        one.tick()
    assert owner_of(run) == (one.actor, "running", 1)


def test_who_has_left_needs_no_patience(
    project: Project, agent: Agent, clock: Clock, settings: Settings, tmp_path: Path
) -> None:
    one, two = Dispatcher(), Dispatcher()
    run = at_work(two, project, agent, tmp_path)
    sleep_for(clock, settings.LEASE_S * 3)
    SchedulerInstance.objects.filter(pk=two.actor.removeprefix("scheduler:")).delete()
    one.tick()
    assert owner_of(run) == (one.actor, "running", 1)


def test_a_scheduler_that_lost_its_lease_writes_nothing_more_and_its_run_goes_on_with_the_other(
    project: Project, agent: Agent, clock: Clock, settings: Settings, tmp_path: Path
) -> None:
    stalled = Dispatcher()
    run = at_work(stalled, project, agent, tmp_path)
    sleep_for(clock, settings.LEASE_S + 1)
    other = Dispatcher()
    assert other.recover()
    say(directory_of(run), ("text", {"text": "Still here."}))
    stalled.tick()
    # Not even tried: nothing was refused.
    assert (stale_writes(), RunLog.objects.count()) == (0, 0)
    other.supervise()
    assert RunLog.objects.get().body == {"text": "Still here."}
    assert owner_of(run) == (other.actor, "running", 1)


def test_a_scheduler_that_lost_its_lease_to_nobody_takes_its_run_up_again(
    project: Project, agent: Agent, clock: Clock, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stalled = Dispatcher()
    run = at_work(stalled, project, agent, tmp_path)
    sleep_for(clock, settings.LEASE_S + 1)
    stalled.tick()
    assert owner_of(run) == (stalled.actor, RunStatus.RUNNING, 1)
    assert "leases_lapsed" in caplog.text
    assert caplog.text.count("run_adopted") == 2  # by the first look, and by this one
