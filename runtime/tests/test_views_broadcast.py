from __future__ import annotations

import pytest

from events.models import Event
from events.states import EventType
from orchestration.models import Agent, Project, Task
from orchestration.states import TaskStatus
from orchestration.tests.clients import Client, error
from orchestration.tests.factories import make_agent, make_task, set_status
from runtime.models import TaskRun
from security.roles import Role

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    return Client(Role.OPERATOR)


def audits(task: Task) -> list[str]:
    found = Event.objects.filter(type=EventType.TASK_INTERVENTION_AUDIT, task_id=task.pk).order_by("id")
    return [event.payload["outcome"] for event in found]


def test_each_task_is_answered_for_itself(client: Client, project: Project) -> None:
    todo, done = make_task(project), set_status(make_task(project), TaskStatus.DONE)
    told = client.post("/tasks/broadcast/pause", ids=[done.pk, todo.pk, 10**9]).json()
    assert (told["command"], told["applied"], told["refused"], told["conflicts"]) == ("pause", 1, 2, 0)
    assert [(item["task"], item["outcome"], item["code"]) for item in told["results"]] == [
        (todo.pk, "applied", None),
        (done.pk, "refused", "invalid_transition"),
        (10**9, "refused", "not_found"),
    ]
    assert (audits(todo), audits(done)) == (["applied"], ["refused"])


def test_a_task_that_has_changed_since_is_a_conflict(client: Client, project: Project) -> None:
    first, second = make_task(project), make_task(project)
    versions = {str(first.pk): first.version, str(second.pk): second.version + 1}
    told = client.post("/tasks/broadcast/cancel", project=project.pk, expected_versions=versions).json()
    assert [(item["outcome"], item["status"]) for item in told["results"]] == [
        ("applied", "cancelled"),
        ("conflict", "todo"),
    ]
    assert audits(second) == ["conflict"]


def test_selectors_must_all_agree(client: Client, project: Project, agent: Agent) -> None:
    wanted = make_task(project, assignee=agent)
    make_task(project), set_status(make_task(project, assignee=agent), TaskStatus.DONE)
    told = client.post("/tasks/broadcast/pause", statuses=["todo"], agent=agent.pk).json()
    assert [item["task"] for item in told["results"]] == [wanted.pk]


def test_without_a_selector_nothing_is_done(client: Client, project: Project) -> None:
    make_task(project)
    assert error(client.post("/tasks/broadcast/cancel")) == (400, "nothing_selected", "ids")
    assert Task.objects.get().status == TaskStatus.TODO


def test_a_command_that_is_none_has_no_address(client: Client) -> None:
    assert client.post("/tasks/broadcast/explode", ids=[1]).status_code == 404


def test_a_viewer_gives_no_commands(project: Project) -> None:
    assert Client(Role.VIEWER).post("/tasks/broadcast/pause", project=project.pk).status_code == 403


def test_a_task_is_run_at_once_by_the_agent_given(client: Client, project: Project, agent: Agent) -> None:
    make_agent(project)
    task = make_task(project)
    answer = client.post(f"/tasks/{task.pk}/run", agent=agent.pk)
    assert (answer.status_code, answer.json()["status"]) == (200, "running")
    assert TaskRun.objects.get(pk=answer.json()["active_run"]).agent == agent


def test_a_task_that_waits_for_another_cannot_be_run(client: Client, project: Project, agent: Agent) -> None:
    parent = make_task(project)
    task = make_task(project, depends_on=[parent])
    answer = client.post(f"/tasks/{task.pk}/run")
    assert error(answer)[:2] == (409, "dependencies_unmet")
    assert answer.json()["data"]["unmet"] == [parent.pk]
