from __future__ import annotations

from pathlib import Path

import pytest
from django.db.models import ProtectedError

from events import services as events
from events.models import Event
from events.states import EventType
from inbox import services as inbox
from inbox.models import InboxItem
from inbox.states import ItemType
from orchestration.exceptions import InUse, VersionConflict
from orchestration.models import Agent, Comment, Document, Project, Task, TaskDependency
from orchestration.scheduler import Choice, plan
from orchestration.services.comments import create_comment
from orchestration.services.dependencies import add_dependency
from orchestration.services.documents import create_document
from orchestration.services.tasks import update_task
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_task, set_status
from orchestration.tests.races import meanwhile, race, result
from runtime import planning
from runtime.models import Slot, TaskRun
from runtime.services import commands
from runtime.services.alerts import alert_missing_clients
from runtime.services.deletion import delete_agent, delete_project, delete_task
from runtime.services.finishing import finish_run
from runtime.tests.factories import OWNER, ending, running
from runtime.tests.halves import claim

pytestmark = pytest.mark.django_db
racing = pytest.mark.django_db(transaction=True)


def deletions() -> list[tuple[str, int]]:
    found = Event.objects.filter(type__endswith=".deleted").order_by("id")
    return [(event.type, event.payload["id"]) for event in found]


def planned() -> list[Choice]:
    room = planning.room()
    return plan(planning.candidates(room), room).start


def test_a_task_goes_with_its_comments_and_what_it_waited_for(project: Project) -> None:
    parent = make_task(project)
    task = make_task(project, depends_on=[parent])
    said = create_comment(task=task, body="Blue", author=ACTOR, actor=ACTOR)
    delete_task(task, actor=ACTOR)
    assert (list(Task.objects.all()), TaskDependency.objects.count(), Comment.objects.count()) == ([parent], 0, 0)
    assert deletions() == [(EventType.COMMENT_DELETED, said.pk), (EventType.TASK_DELETED, task.pk)]


def test_what_waits_in_the_inbox_about_a_deleted_task_is_closed_on_record(task: Task) -> None:
    inbox.ask(ItemType.ALERT, task=task, title="Look", dedupe_key="k", actor=ACTOR)
    delete_task(task, actor=ACTOR)
    assert Event.objects.get(type=EventType.INBOX_ITEM_CLOSED).payload["resolution"] == "obsolete"
    assert not InboxItem.objects.exists()


def test_a_task_with_runs_is_kept(task: Task, agent: Agent) -> None:
    finish_run(running(task, agent), ending("failed", code="auth"))
    with pytest.raises(InUse, match=r"has runs \(1\)\. Archive it instead\.") as refusal:
        delete_task(task, actor=ACTOR)
    assert (refusal.value.code, refusal.value.data) == ("in_use", {"runs": 1})
    assert TaskRun.objects.exists()


def test_a_running_task_is_kept(task: Task, agent: Agent) -> None:
    running(task, agent)
    with pytest.raises(InUse, match="Cancel it") as refusal:
        delete_task(task, actor=ACTOR)
    assert refusal.value.data == {"runs": 1, "status": "running"}


def test_all_that_needs_a_task_is_named_up_to_a_number(project: Project, task: Task) -> None:
    waiting = [make_task(project, depends_on=[task]) for _ in range(21)]
    below = make_task(project, parent=task)
    with pytest.raises(InUse, match=r"other tasks \(20 or more\)") as refusal:
        delete_task(task, actor=ACTOR)
    assert refusal.value.data == {"dependents": [child.pk for child in waiting[:20]], "subtasks": [below.pk]}


def test_a_task_that_was_changed_since_is_kept(task: Task) -> None:
    update_task(Task.objects.get(), actor=ACTOR, title="Newer")
    with pytest.raises(VersionConflict) as refusal:
        delete_task(task, actor=ACTOR, expected_version=1)
    assert refusal.value.data == {"version": 2, "status": "todo"}


def test_what_is_gone_already_is_deleted_without_a_word(project: Project, task: Task, agent: Agent) -> None:
    for _ in range(2):
        delete_task(task, actor=ACTOR)
        delete_agent(agent, actor=ACTOR)
    for _ in range(2):
        delete_project(project, actor=ACTOR)
    assert len(deletions()) == 3


def test_the_database_keeps_a_task_with_runs_from_being_deleted_by_other_ways(task: Task, agent: Agent) -> None:
    running(task, agent)
    with pytest.raises(ProtectedError):
        task.delete()


def test_an_agent_that_nothing_needs_is_deleted_with_its_slot(agent: Agent, project: Project) -> None:
    other = make_agent(project)
    commands.cancel_task(running(make_task(project), other).task, actor=ACTOR)
    delete_agent(agent, actor=ACTOR)
    assert (list(Agent.objects.all()), deletions()) == ([other], [(EventType.AGENT_DELETED, agent.pk)])
    assert not Slot.objects.filter(key=f"agent:{agent.pk}").exists()


def test_an_agent_with_runs_or_work_to_do_is_kept(task: Task, agent: Agent, project: Project) -> None:
    running(task, agent)
    make_task(project, assignee=agent)
    with pytest.raises(InUse) as refusal:
        delete_agent(agent, actor=ACTOR)
    assert refusal.value.data == {"runs": 1, "tasks": 2}


def test_a_deleted_agent_is_taken_off_what_is_over(project: Project, agent: Agent) -> None:
    task = set_status(make_task(project, assignee=agent), TaskStatus.CANCELLED)
    delete_agent(agent, actor=ACTOR)
    task.refresh_from_db()
    event = Event.objects.get(type=EventType.TASK_UPDATED)
    assert (task.assignee, task.version) == (None, 2)
    assert event.payload == {"id": task.pk, "version": 2, "fields": ["assignee"]}


def test_a_project_goes_with_its_agents_and_documents(project: Project, agent: Agent) -> None:
    document = create_document(project, path="a.md", title="A", actor=ACTOR)
    delete_project(project, actor=ACTOR)
    assert not (Project.objects.exists() or Agent.objects.exists() or Document.objects.exists())
    assert deletions() == [
        (EventType.DOCUMENT_DELETED, document.pk),
        (EventType.AGENT_DELETED, agent.pk),
        (EventType.PROJECT_DELETED, project.pk),
    ]
    assert Path(project.root_path).exists()


def test_a_project_with_tasks_is_kept(task: Task, agent: Agent, project: Project) -> None:
    running(task, agent)
    with pytest.raises(InUse) as refusal:
        delete_project(project, actor=ACTOR)
    assert refusal.value.data == {"tasks": 1, "runs": 1}


def test_a_plan_for_what_was_deleted_since_starts_the_rest(project: Project) -> None:
    first, second = make_agent(project), make_agent(project)
    gone, orphan, kept = make_task(project), make_task(project, assignee=first), make_task(project, assignee=second)
    choices = [Choice(gone.pk, second.pk, None), Choice(orphan.pk, first.pk, None), Choice(kept.pk, second.pk, None)]
    delete_task(gone, actor=ACTOR)
    update_task(orphan, actor=ACTOR, assignee=None)
    delete_agent(first, actor=ACTOR)
    assert [run.task_id for run in claim(choices, owner=OWNER)] == [kept.pk]


@racing
def test_a_task_claimed_while_it_is_deleted_is_not_started(task: Task, agent: Agent) -> None:
    chosen = planned()
    with events.unit_of_work():
        delete_task(task, actor=ACTOR)
        other = meanwhile(lambda: claim(chosen, owner=OWNER))
    assert result(other) == []


@racing
def test_a_task_deleted_while_it_is_claimed_is_kept_with_its_run(task: Task, agent: Agent) -> None:
    with events.unit_of_work():
        claim(planned(), owner=OWNER)
        other = meanwhile(lambda: delete_task(task, actor=ACTOR))
    assert isinstance(result(other), InUse)
    assert TaskRun.objects.get().task == task


@racing
def test_an_agent_deleted_while_it_is_given_a_run_is_kept(task: Task, agent: Agent) -> None:
    with events.unit_of_work():
        claim(planned(), owner=OWNER)
        other = meanwhile(lambda: delete_agent(agent, actor=ACTOR))
    assert isinstance(result(other), InUse)


@racing
def test_an_agent_given_a_run_while_it_is_deleted_gets_none(task: Task, agent: Agent) -> None:
    chosen = planned()
    with events.unit_of_work():
        delete_agent(agent, actor=ACTOR)
        other = meanwhile(lambda: claim(chosen, owner=OWNER))
    assert result(other) == []
    assert Task.objects.get().status == TaskStatus.TODO


@racing
def test_a_task_gains_a_child_or_is_deleted(project: Project, task: Task) -> None:
    child = make_task(project)
    outcomes = race(lambda: delete_task(task, actor=ACTOR), lambda: add_dependency(child, depends_on=task, actor=ACTOR))
    assert len([outcome for outcome in outcomes if isinstance(outcome, Exception)]) == 1
    assert Task.objects.count() == 2 - int(outcomes[0] is None)


@racing
def test_a_task_gains_a_subtask_or_is_deleted(project: Project, task: Task) -> None:
    child = make_task(project)
    outcomes = race(lambda: delete_task(task, actor=ACTOR), lambda: update_task(child, actor=ACTOR, parent=task))
    assert len([outcome for outcome in outcomes if isinstance(outcome, Exception)]) == 1


@racing
def test_nothing_is_asked_about_a_task_that_is_being_deleted(task: Task, agent: Agent) -> None:
    missing = {"noop": RuntimeError("No client.")}
    with events.unit_of_work():
        delete_task(task, actor=ACTOR)
        other = meanwhile(lambda: alert_missing_clients(missing, actor=ACTOR))
    assert result(other) is None
    assert not InboxItem.objects.exists()
