"""What a person says about a run that gets nowhere, and what they see of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from events.models import Event
from events.states import EventType
from inbox import services as inbox
from inbox.states import ItemStatus, Resolution
from orchestration.models import Agent, Project, Task
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_task
from runtime import supervision
from runtime.dispatcher import _stuck_scan as stuck_scan
from runtime.models import StuckFinding, TaskRun
from runtime.rundir import RunDirectory
from runtime.services.commands import resume_task
from runtime.services.finishing import finish_run
from runtime.states import RunStatus
from runtime.stuck.scanning import Scanner
from runtime.supervision import Watch
from runtime.tests.factories import ending
from runtime.tests.starts import begun, make_directory, own_home
from runtime.tests.stuck_runs import LOOP, asked_about, call, deliver, items, nudges, scan

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
def scanner() -> Scanner:
    return Scanner()


# The answer


def test_continue_leaves_the_run_alone_until_the_time_is_over(
    run: TaskRun, directory: RunDirectory, scanner: Scanner
) -> None:
    item = inbox.close_item(asked_about(run, scanner), actor=ACTOR, action="answer", user_input=" Continue ")
    assert deliver() == 1
    call(run, LOOP)
    assert scan(scanner) == 0
    StuckFinding.objects.update(muted_until=timezone.now())
    call(run, LOOP)
    assert scan(scanner) == 1
    assert [found.status for found in items()] == [ItemStatus.CLOSED, ItemStatus.OPEN]
    item.refresh_from_db()
    assert item.delivered_at is not None
    assert len(nudges(directory)) == 1


def test_dismissing_means_continue(run: TaskRun, directory: RunDirectory, scanner: Scanner) -> None:
    inbox.close_item(asked_about(run, scanner), actor=ACTOR)
    deliver()
    assert StuckFinding.objects.get().muted_until is not None
    assert not Task.objects.get().is_held


def test_end_stops_the_run_and_keeps_its_session_and_its_work(
    run: TaskRun, directory: RunDirectory, scanner: Scanner
) -> None:
    inbox.close_item(asked_about(run, scanner), actor=ACTOR, action="answer", user_input="end")
    deliver()
    task = Task.objects.get()
    assert task.is_held
    supervision.pass_on_intents(Watch(run=run, directory=directory), task)
    assert directory.received("interrupt") is not None
    finish_run(run, ending("interrupted"))
    task.refresh_from_db()
    assert (task.status, run.status, run.session_id) == (TaskStatus.BLOCKED, RunStatus.INTERRUPTED, "session-1")
    audits = Event.objects.filter(type=EventType.TASK_INTERVENTION_AUDIT)
    assert [(audit.actor, audit.payload["command"]) for audit in audits] == [(ACTOR, "pause")]


def test_a_run_that_was_ended_can_be_resumed(run: TaskRun, directory: RunDirectory, scanner: Scanner) -> None:
    inbox.close_item(asked_about(run, scanner), actor=ACTOR, action="answer", user_input="end")
    deliver()
    finish_run(run, ending("interrupted"))
    resume_task(Task.objects.get(), actor=ACTOR)
    run.refresh_from_db()
    assert run.status == RunStatus.QUEUED


def test_end_holds_though_the_run_was_interrupted_before_it_was_passed_on(
    run: TaskRun, directory: RunDirectory, scanner: Scanner
) -> None:
    inbox.close_item(asked_about(run, scanner), actor=ACTOR, action="answer", user_input="end")
    finish_run(run, ending("interrupted"))
    deliver()
    assert Task.objects.get().is_held


def test_other_words_are_told_to_the_agent(run: TaskRun, directory: RunDirectory, scanner: Scanner) -> None:
    inbox.close_item(asked_about(run, scanner), actor=ACTOR, action="answer", user_input="Use make -k.")
    deliver()
    assert nudges(directory)[1:] == ["Use make -k."]
    assert StuckFinding.objects.get().muted_until is not None


def test_other_words_wait_for_the_scheduler_that_has_the_agent(
    run: TaskRun, directory: RunDirectory, scanner: Scanner
) -> None:
    inbox.close_item(asked_about(run, scanner), actor=ACTOR, action="answer", user_input="Use make -k.")
    assert deliver(owner="another") == 0
    assert deliver() == 1


@pytest.mark.parametrize("outcome", ["finished", "blocked", "interrupted", "failed"])
def test_the_item_closes_by_itself_when_the_run_ends(
    run: TaskRun, directory: RunDirectory, scanner: Scanner, outcome: str
) -> None:
    item = asked_about(run, scanner)
    finish_run(run, ending(outcome))
    item.refresh_from_db()
    assert (item.status, item.resolution) == (ItemStatus.CLOSED, Resolution.OBSOLETE)
    assert StuckFinding.objects.get().item_id is None


def test_an_answer_is_carried_out_once(run: TaskRun, directory: RunDirectory, scanner: Scanner) -> None:
    inbox.close_item(asked_about(run, scanner), actor=ACTOR, action="answer", user_input="Use make -k.")
    assert (deliver(), deliver()) == (1, 0)
    assert len(nudges(directory)) == 2


# What people see


def test_the_page_of_a_run_says_what_was_found_and_how_far_it_has_gone(
    run: TaskRun, directory: RunDirectory, scanner: Scanner, admin_client: Client
) -> None:
    def page() -> str:
        return admin_client.get(reverse("admin:runtime_taskrun_change", args=[run.pk])).content.decode()

    call(run, LOOP)
    scan(scanner)
    assert "Of the last 12 calls 11 did" in page() and "about to be nudged" in page()
    deliver()
    assert "the agent was nudged" in page()
    call(run, LOOP)
    scan(scanner)
    assert reverse("admin:inbox_inboxitem_change", args=[items()[0].pk]) in page()


def test_the_page_of_the_item_takes_an_answer(
    run: TaskRun, directory: RunDirectory, scanner: Scanner, admin_client: Client
) -> None:
    page = reverse("admin:inbox_inboxitem_change", args=[asked_about(run, scanner).pk])
    shown = admin_client.get(page).content.decode()
    assert "Answer" in shown and "Dismiss" in shown and "continue" in shown


def test_nothing_is_scanned_when_the_interval_is_zero(settings: Settings) -> None:
    settings.STUCK_SCAN_INTERVAL_S = 0
    assert stuck_scan() == []
