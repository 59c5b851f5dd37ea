"""What follows when a run gets nowhere: first a nudge, then a question."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from events.models import Event
from events.states import EventType
from orchestration.models import Agent, Project
from orchestration.tests.factories import make_agent, make_task
from runtime.models import RunLog, StuckFinding, TaskRun
from runtime.rundir import RunDirectory
from runtime.services.finishing import finish_run
from runtime.stuck import delivery, scanning
from runtime.stuck.findings import Kind
from runtime.stuck.scanning import Scanner
from runtime.tests.factories import OWNER, ending
from runtime.tests.starts import begun, make_directory, own_home
from runtime.tests.stuck_runs import LOOP, WORK, Clock, asked_about, call, deliver, items, nudges, scan, write

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def home(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    settings.STUCK_NUDGE_WAIT_S = 0
    with own_home(settings, tmp_path) as home:
        yield home


@pytest.fixture
def run(project: Project, agent: Agent) -> TaskRun:
    return begun(make_task(project, title="Paint it"), agent)


@pytest.fixture
def directory(run: TaskRun, tmp_path: Path) -> RunDirectory:
    return make_directory(run, tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def scanner(clock: Clock) -> Scanner:
    return Scanner(clock=clock)


# From the finding to the question


def test_a_run_that_goes_in_circles_is_nudged_and_nobody_is_asked_yet(
    run: TaskRun, directory: RunDirectory, scanner: Scanner
) -> None:
    call(run, LOOP)
    assert (scan(scanner), deliver()) == (1, 1)
    [text] = nudges(directory)
    assert "repeat the same steps" in text and "block_task" in text
    assert not items()


def test_it_is_nudged_once_however_often_it_is_looked_at(
    run: TaskRun, directory: RunDirectory, scanner: Scanner
) -> None:
    call(run, LOOP)
    for _ in range(3):
        scan(scanner)
        deliver()
        write(run, ("text", {"text": "Hm."}))
    assert len(nudges(directory)) == 1
    assert not items()  # nothing new was seen since


def test_a_run_that_goes_on_as_before_is_asked_about_with_the_evidence(
    run: TaskRun, directory: RunDirectory, scanner: Scanner
) -> None:
    item = asked_about(run, scanner)
    assert item.title == "Going in circles: Paint it"
    assert '12 x Bash {"command": "make"}' in item.content and "error 1" in item.content
    assert "since" in item.content
    assert (item.run_id, item.options, item.dedupe_key) == (run.pk, ["continue", "end"], f"stuck:{run.pk}:repeat")
    [event] = Event.objects.filter(type=EventType.ALERT_RAISED)
    assert (event.run_id, event.payload["kind"]) == (run.pk, "stuck_repeat")
    assert event.payload["details"]["calls"] == [{"call": 'Bash {"command": "make"}', "count": 12}]


def test_there_is_one_open_item_per_run_and_kind(run: TaskRun, directory: RunDirectory, scanner: Scanner) -> None:
    for _ in range(4):
        call(run, LOOP, is_error=True)
        scan(scanner)
        deliver()
    assert sorted(item.dedupe_key for item in items()) == [f"stuck:{run.pk}:errors", f"stuck:{run.pk}:repeat"]
    assert Event.objects.filter(type=EventType.ALERT_RAISED).count() == 2


def test_two_schedulers_that_scan_ask_once(run: TaskRun, directory: RunDirectory) -> None:
    for _ in range(2):
        call(run, LOOP)
        for scanner in (Scanner(), Scanner()):
            scan(scanner)
        deliver()
    assert (len(nudges(directory)), len(items())) == (1, 1)


def test_a_nudged_run_that_gets_going_is_left_alone(run: TaskRun, directory: RunDirectory, scanner: Scanner) -> None:
    call(run, LOOP)
    scan(scanner)
    deliver()
    call(run, WORK)
    assert scan(scanner) == 0


def test_the_agent_has_some_time_after_the_nudge(
    run: TaskRun, directory: RunDirectory, scanner: Scanner, settings: Settings
) -> None:
    settings.STUCK_NUDGE_WAIT_S = 120
    for _ in range(2):
        call(run, LOOP)
        scan(scanner)
        deliver()
    assert not items()
    StuckFinding.objects.update(nudged_at=timezone.now() - timedelta(seconds=121))
    call(run, LOOP)
    scan(scanner)
    assert len(items()) == 1


def test_nobody_is_asked_before_the_agent_was_told(run: TaskRun, directory: RunDirectory, scanner: Scanner) -> None:
    for _ in range(3):
        call(run, LOOP)
        scan(scanner)
        deliver(owner="another")
    assert not items() and not nudges(directory)


def test_another_scheduler_goes_on_where_the_first_one_was(run: TaskRun, directory: RunDirectory) -> None:
    call(run, LOOP)
    scan(Scanner())
    deliver()
    call(run, LOOP)
    scan(Scanner())
    assert (len(nudges(directory)), len(items())) == (1, 1)


def test_a_later_start_of_the_run_begins_with_a_clean_slate(
    run: TaskRun, directory: RunDirectory, scanner: Scanner, tmp_path: Path
) -> None:
    call(run, LOOP)
    scan(scanner)
    deliver()
    finish_run(run, ending("interrupted"))
    again = begun(run.task, run.agent)
    make_directory(again, tmp_path)
    write(again, ("system", {"type": "session", "session_id": "s"}))
    assert scan(scanner) == 0
    call(again, LOOP)
    scan(scanner)
    deliver()
    assert not items()
    assert StuckFinding.objects.get().epoch == 2


def test_a_nudge_that_came_too_late_for_its_start_is_not_given_to_the_next(
    run: TaskRun, directory: RunDirectory, scanner: Scanner, tmp_path: Path
) -> None:
    call(run, LOOP)
    scan(scanner)
    finish_run(run, ending("interrupted"))
    assert deliver() == 0  # nobody's
    later = make_directory(begun(run.task, run.agent), tmp_path)
    assert deliver() == 0
    assert not nudges(directory) and not nudges(later)


def test_a_run_that_has_ended_is_neither_nudged_nor_asked_about(
    run: TaskRun, directory: RunDirectory, scanner: Scanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(run, LOOP)
    found = scanning.find

    def find_late(*args: Any, **kwargs: Any) -> Any:
        seen = found(*args, **kwargs)
        finish_run(TaskRun.objects.select_related("task__project", "agent").get(pk=run.pk), ending("finished"))
        return seen

    monkeypatch.setattr(scanning, "find", find_late)
    assert scan(scanner) == 0
    assert not StuckFinding.objects.exists()


def test_a_log_that_cannot_be_read_keeps_nobody_else_waiting(
    run: TaskRun, directory: RunDirectory, scanner: Scanner, project: Project
) -> None:
    write(run, ("text", {"text": "x"}))
    RunLog.objects.filter(run=run).update(body="no object")
    other = begun(make_task(project), make_agent(project))
    call(other, LOOP)
    assert scan(scanner) == 1


# Silence


def test_silence_counts_from_when_this_scheduler_saw_the_last_line(
    run: TaskRun, directory: RunDirectory, scanner: Scanner, clock: Clock
) -> None:
    write(run, ("text", {"text": "One moment."}), ago_s=100_000)
    assert scan(scanner) == 0
    clock.now = 301
    assert scan(scanner) == 1
    assert StuckFinding.objects.get().kind == Kind.IDLE


def test_a_machine_that_was_asleep_makes_no_agent_silent(
    run: TaskRun, directory: RunDirectory, scanner: Scanner, clock: Clock
) -> None:
    write(run, ("text", {"text": "One moment."}))
    scan(scanner)
    RunLog.objects.update(at=timezone.now() - timedelta(hours=8))
    clock.now = 60  # which does not count the time asleep
    assert scan(scanner) == 0


def test_silence_that_goes_on_after_the_nudge_is_asked_about(
    run: TaskRun, directory: RunDirectory, scanner: Scanner, clock: Clock
) -> None:
    write(run, ("text", {"text": "One moment."}), ago_s=100_000)
    scan(scanner)
    clock.now = 301
    scan(scanner)
    deliver()
    write(run, ("system", {"type": "nudge", "text": "Hello?"}))
    clock.now = 361
    scan(scanner)
    [item] = items()
    assert item.title == "Nothing heard of: Paint it"
    assert "361 s" in item.content


def test_who_speaks_after_a_nudge_and_is_silent_later_is_nudged_again(
    run: TaskRun, directory: RunDirectory, scanner: Scanner, clock: Clock
) -> None:
    for number in (1, 2):
        write(run, ("text", {"text": "One moment."}), ago_s=100_000)
        scan(scanner)
        clock.now = number * 1000
        scan(scanner)
        deliver()
    assert len(nudges(directory)) == 2
    assert not items()


def test_a_run_that_is_being_set_up_is_not_silent(
    run: TaskRun, directory: RunDirectory, scanner: Scanner, clock: Clock
) -> None:
    write(run, ("text", {"text": "Of the start before."}), ago_s=100_000)
    TaskRun.objects.update(log_offset=0)
    scan(scanner)
    clock.now = 100_000
    assert scan(scanner) == 0


def test_a_log_without_news_is_not_read_again(run: TaskRun, directory: RunDirectory, scanner: Scanner) -> None:
    call(run, WORK)
    scan(scanner)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        scan(scanner)
    assert not [query for query in captured.captured_queries if "runtime_runlog" in query["sql"]]


def test_running_runs_tails_of_logs_and_what_is_pending_are_found_by_index(run: TaskRun) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")  # which is right for tables as small as these
    lines = RunLog.objects.filter(run=run, seq__gt=5).order_by("seq")
    wanted: list[tuple[QuerySet[Any], str]] = [
        (TaskRun.objects.at_work(), "run_at_work"),
        (lines, "run_log_line_once|sqlite_autoindex_runtime_runlog"),
        (delivery.pending(OWNER), "stuck_finding_pending"),
    ]
    for rows, index in wanted:
        found = rows.explain()
        # PostgreSQL may find another index that holds few rows as good, by what it knows of the table at the time.
        is_found = "Seq Scan" not in found if connection.vendor == "postgresql" else re.search(index, found)
        assert is_found, found
