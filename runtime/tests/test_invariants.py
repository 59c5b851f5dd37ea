"""The auditor finds what each test breaks by hand, and nothing while schedulers work."""

from __future__ import annotations

import json
import threading
from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from events import services as events
from events.models import Event
from events.states import EventType
from inbox import services as inbox
from inbox.models import InboxItem
from inbox.states import ItemType
from orchestration.models import Agent, Project, Task, TaskDependency
from orchestration.services.dependencies import set_dependencies
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_done, make_project, make_task, set_status
from runtime import invariants
from runtime.invariants import Difference, differences, graph_differences
from runtime.models import Slot, TaskRun
from runtime.services import commands
from runtime.services.finishing import finish_run
from runtime.services.repairs import mend
from runtime.states import RunStatus
from runtime.tests.factories import claim_all, ending, running

pytestmark = [pytest.mark.django_db, pytest.mark.breaks_invariants]


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=4)


def change(row: Task | TaskRun, **fields: Any) -> None:
    type(row)._default_manager.filter(pk=row.pk).update(**fields)


def audit(*options: str) -> tuple[str, int]:
    """Run the command; return what it says and its exit code."""
    said = StringIO()
    try:
        call_command("check_invariants", *options, stdout=said)
    except SystemExit as end:
        return said.getvalue(), int(end.code or 0)
    return said.getvalue(), 0


def test_nothing_is_wrong_with_what_the_services_do(project: Project, agent: Agent) -> None:
    parent = make_task(project)
    make_task(project, depends_on=[parent], parent=parent)
    for outcome in ("finished", "blocked", "interrupted", "cancelled"):
        finish_run(running(make_task(project), agent), ending(outcome))
    finish_run(running(make_task(project), agent), ending("failed", code="overloaded"))
    make_done(make_task(project))
    claim_all()
    assert differences() == []


def test_a_counter_that_is_wrong_is_found(project: Project, task: Task) -> None:
    child = make_task(project, depends_on=[task])
    change(child, unmet_dependencies=3)
    assert differences() == graph_differences() == [Difference("unmet_dependencies", f"task:{child.pk}", 1, 3)]


def test_slots_that_do_not_count_their_runs_are_found(task: Task, agent: Agent, project: Project) -> None:
    running(task, agent)
    Slot.objects.filter(key="global").update(running=7)
    Slot.objects.filter(key=f"agent:{agent.pk}").delete()
    assert differences() == [
        Difference("slot", f"slot:agent:{agent.pk}", 1, 0),
        Difference("slot", "slot:global", 1, 7),
    ]


@pytest.mark.parametrize("status", [TaskStatus.TODO, TaskStatus.FAILED])
def test_a_run_without_a_task_that_runs_is_found(task: Task, agent: Agent, status: TaskStatus) -> None:
    running(task, agent)
    set_status(task, status)
    assert differences() == [Difference("status", f"task:{task.pk}", "running, with a run running", status)]


def test_a_task_that_runs_without_a_run_is_found(task: Task) -> None:
    set_status(task, TaskStatus.RUNNING)
    assert differences() == [Difference("status", f"task:{task.pk}", "an active run", "running")]


def test_a_task_that_runs_while_its_run_waits_for_a_person_is_found(task: Task, agent: Agent) -> None:
    finish_run(running(task, agent), ending("blocked"))
    set_status(task, TaskStatus.RUNNING)
    assert [str(found) for found in differences()] == [
        f"task:{task.pk} status: expected blocked, with a run interrupted, found running"
    ]


def test_a_task_that_began_before_its_parents_were_done_is_found(project: Project, task: Task, agent: Agent) -> None:
    child = make_task(project)
    running(child, agent)
    TaskDependency.objects.create(task=child, depends_on=task)
    change(child, unmet_dependencies=1)
    assert differences() == [Difference("started", f"task:{child.pk}", "no unmet dependency", 1)]


def test_a_cancel_that_nobody_carries_out_is_found(task: Task) -> None:
    change(task, cancel_requested_at=timezone.now())
    assert differences() == [Difference("cancel_requested_at", f"task:{task.pk}", "a run to stop", "todo")]


def test_a_review_that_nobody_is_asked_for_is_found(task: Task, agent: Agent) -> None:
    finish_run(running(task, agent), ending("finished"))
    InboxItem.objects.all().delete()
    assert differences() == [Difference("review", f"task:{task.pk}", "an open item", "review")]


def test_a_review_of_what_is_not_in_review_is_found(task: Task) -> None:
    item = inbox.ask(ItemType.TASK_COMPLETED, task=task, title="Read", dedupe_key="k", actor=ACTOR)
    assert differences() == [Difference("review", f"item:{item.pk}", "a task that waits for a review", "todo")]


def test_approved_work_needs_no_item(task: Task, agent: Agent) -> None:
    finish_run(running(task, agent), ending("finished"))
    inbox.approve_task(Task.objects.get(), actor=ACTOR)
    assert differences() == []


def test_cycles_are_found(project: Project, task: Task) -> None:
    second = make_task(project, depends_on=[task], parent=task)
    TaskDependency.objects.create(task=task, depends_on=second)
    change(task, unmet_dependencies=1, parent=second)
    ring = f"{task.pk} > {second.pk} > {task.pk}"
    assert differences() == [
        Difference("dependency_cycle", f"task:{task.pk}", "no cycle", ring),
        Difference("parent_cycle", f"task:{task.pk}", "no cycle", ring),
    ]


def test_what_points_into_another_project_is_found(task: Task, tmp_path: Path) -> None:
    stranger = make_task(other := make_project(tmp_path / "other"))
    change(task, parent=stranger, assignee=make_agent(other), unmet_dependencies=1)
    edge = TaskDependency.objects.create(task=task, depends_on=stranger)
    assert [(found.row, found.found) for found in differences()] == [
        (f"dependency:{edge.pk}", f"depends_on of project {other.pk}"),
        (f"task:{task.pk}", f"parent of project {other.pk}"),
        (f"task:{task.pk}", f"assignee of project {other.pk}"),
    ]


def test_the_database_itself_refuses_the_rest(project: Project, task: Task, agent: Agent) -> None:
    run = running(task, agent)
    second = {"task": task, "agent": agent, "attempt": 2, "idempotency_key": "k", "trace_id": "t"}
    for breach in (
        lambda: change(task, approved_at=timezone.now()),
        lambda: change(task, is_archived=True),
        lambda: change(run, next_retry_at=timezone.now()),
        lambda: change(run, status=RunStatus.RETRY_SCHEDULED),
        lambda: TaskRun.objects.create(**second),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            breach()


def test_the_command_is_content_when_everything_holds(task: Task) -> None:
    assert audit() == ("Everything holds.\n", 0)
    assert audit("--json") == ('{"differences": [], "mended": []}\n', 0)


def test_the_command_names_each_difference_and_fails(task: Task) -> None:
    change(task, unmet_dependencies=2)
    assert audit() == (f"task:{task.pk} unmet_dependencies: expected 0, found 2\n", 1)
    said, code = audit("--json")
    found = {"what": "unmet_dependencies", "row": f"task:{task.pk}", "expected": 0, "found": 2}
    assert (json.loads(said), code) == ({"differences": [found], "mended": []}, 1)
    task.refresh_from_db()
    assert task.unmet_dependencies == 2


def test_a_repair_mends_what_is_counted_and_is_on_record(project: Project, task: Task, agent: Agent) -> None:
    child = make_task(project, depends_on=[task])
    running(task, agent)
    change(child, unmet_dependencies=0)
    Slot.objects.filter(key=f"project:{project.pk}").update(running=5)
    Slot.objects.filter(key="global").delete()
    said, code = audit("--repair")
    assert (said.count("mended: "), code, differences()) == (3, 0, [])
    child.refresh_from_db()
    told = Event.objects.filter(type=EventType.TASK_UPDATED, task_id=child.pk).latest("id")
    assert told.payload == {"id": child.pk, "version": child.version, "fields": ["unmet_dependencies"]}
    alerts = Event.objects.filter(type=EventType.ALERT_RAISED).order_by("id")
    assert [(alert.project_id, alert.payload["details"]) for alert in alerts] == [
        (None, {"key": "global", "expected": 1, "found": 0}),
        (project.pk, {"key": f"project:{project.pk}", "expected": 1, "found": 5}),
    ]


def test_a_mended_slot_has_its_cap_when_it_is_next_taken(project: Project, task: Task, agent: Agent) -> None:
    running(task, agent)
    Slot.objects.all().delete()
    audit("--repair")
    make_task(project)
    assert len(claim_all()) == 1
    assert differences() == []


def test_a_repair_reports_what_it_cannot_mend(project: Project, task: Task) -> None:
    change(make_task(project), unmet_dependencies=1)
    set_status(task, TaskStatus.RUNNING)
    said, code = audit("--repair", "--json")
    told = json.loads(said)
    assert ([one["what"] for one in told["differences"]], code) == (["status"], 1)
    assert [one["what"] for one in told["mended"]] == ["unmet_dependencies"]


def test_what_came_right_by_itself_is_left_alone(task: Task) -> None:
    found = [Difference("unmet_dependencies", f"task:{task.pk}", 1, 0), Difference("slot", "slot:global", 0, 1)]
    Slot.objects.create(key="global", cap=1)
    before = Event.objects.count()
    mend(found, actor=ACTOR)
    task.refresh_from_db()
    assert (task.version, Event.objects.count()) == (1, before)


@pytest.mark.django_db(transaction=True)
def test_the_auditor_sees_one_moment_while_others_commit(
    project: Project, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_task(project)
    counted = invariants.held_slots

    def and_then_one_more() -> Counter[str]:
        held = counted()
        worker = threading.Thread(target=_claim)  # another connection commits between two reads
        worker.start()
        worker.join(timeout=60)
        return held

    monkeypatch.setattr(invariants, "held_slots", and_then_one_more)
    assert differences() == []
    assert TaskRun.objects.count() == 1


def _claim() -> None:
    try:
        claim_all()
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_no_alarm_is_raised_while_schedulers_and_people_work(project: Project, agent: Agent) -> None:
    is_over = threading.Event()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(8):
                run = running(make_task(project), agent)
                finish_run(run, ending("blocked"))
                commands.retry_task(run.task, actor=ACTOR)
                commands.cancel_task(Task.objects.get(pk=run.task_id), actor=ACTOR)
                child, parent = make_task(project), make_task(project)
                set_dependencies(child, depends_on=[parent], actor=ACTOR)
                with events.unit_of_work():
                    make_done(parent)
                commands.cancel_task(child, actor=ACTOR)
        except BaseException as error:
            errors.append(error)
        finally:
            is_over.set()
            connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    found: list[Difference] = []
    while not is_over.is_set():
        found += differences()
    worker.join()
    assert (errors, found) == ([], [])
