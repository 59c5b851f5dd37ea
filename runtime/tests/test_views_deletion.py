from __future__ import annotations

import pytest

from events.models import Event
from orchestration.models import Agent, Document, Project, Task
from orchestration.services.documents import create_document
from orchestration.states import TaskStatus
from orchestration.tests.clients import Client, error
from orchestration.tests.factories import ACTOR, make_agent, make_task, set_status
from runtime.tests.factories import running

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    return Client()


def last_event() -> tuple[str, str, dict[str, object]]:
    event = Event.objects.latest("id")
    return event.type, event.actor, event.payload


def test_a_task_that_nothing_needs_is_deleted(client: Client, project: Project) -> None:
    task = make_task(project)
    assert client.delete(f"/tasks/{task.pk}").status_code == 204
    assert client.get(f"/tasks/{task.pk}").status_code == 404
    assert last_event() == ("task.deleted", "user:admin", {"id": task.pk})


def test_a_task_others_wait_for_is_kept_and_they_are_named(client: Client, project: Project) -> None:
    task = make_task(project)
    child = make_task(project, depends_on=[task])
    answer = client.delete(f"/tasks/{task.pk}")
    assert error(answer)[:2] == (409, "in_use")
    assert answer.json()["data"]["dependents"] == [child.pk]
    assert Task.objects.filter(pk=task.pk).exists()


def test_an_agent_with_runs_is_kept(client: Client, project: Project) -> None:
    agent = make_agent(project)
    running(make_task(project), agent)
    assert error(client.delete(f"/agents/{agent.pk}"))[:2] == (409, "in_use")
    assert client.delete(f"/agents/{make_agent(project).pk}").status_code == 204
    assert Agent.objects.get() == agent


def test_a_project_with_tasks_is_kept_and_put_into_the_archive_instead(client: Client, project: Project) -> None:
    make_task(project)
    assert error(client.delete(f"/projects/{project.pk}"))[:2] == (409, "in_use")
    assert client.patch(f"/projects/{project.pk}", is_archived=True).json()["is_archived"] is True
    assert (client.ids("/projects"), client.ids("/projects", is_archived="true")) == ([], [project.pk])


def test_an_empty_project_is_deleted_with_its_agents_and_documents(client: Client, project: Project) -> None:
    make_agent(project)
    create_document(project, path="rules.md", title="Rules", actor=ACTOR)
    assert client.delete(f"/projects/{project.pk}").status_code == 204
    assert (Project.objects.count(), Agent.objects.count(), Document.objects.count()) == (0, 0, 0)


def test_a_task_goes_into_the_archive_when_it_is_over(client: Client, project: Project) -> None:
    task = make_task(project)
    assert error(client.patch(f"/tasks/{task.pk}", is_archived=True))[:2] == (409, "task_open")
    set_status(task, TaskStatus.DONE)
    assert client.patch(f"/tasks/{task.pk}", is_archived=True).status_code == 200
    assert (client.ids("/tasks"), client.ids("/tasks", is_archived="true")) == ([], [task.pk])
    assert client.get(f"/tasks/{task.pk}").json()["is_archived"] is True


def test_what_a_task_waits_for_is_replaced_as_a_whole(client: Client, project: Project) -> None:
    first, second = make_task(project), make_task(project)
    task = make_task(project, depends_on=[first])
    answer = client.patch(f"/tasks/{task.pk}", depends_on=[second.pk], title="Later").json()
    assert (answer["depends_on"], answer["unmet_dependencies"], answer["title"]) == ([second.pk], 1, "Later")


def test_subtasks_are_counted_with_their_parent(client: Client, project: Project) -> None:
    parent = make_task(project)
    set_status(make_task(project, parent=parent), TaskStatus.DONE)
    make_task(project, parent=parent)
    row = client.get("/tasks", ordering="id", fields="id,subtasks_total,subtasks_done").json()["results"][0]
    assert row == {"id": parent.pk, "subtasks_total": 2, "subtasks_done": 1}
