from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from events.models import Event
from events.states import EventType
from inbox import services as inbox
from inbox.states import ItemType
from orchestration.models import Agent, Project, Task
from orchestration.services.dependencies import add_dependency
from orchestration.states import TaskStatus
from orchestration.tests.clients import Client, error
from orchestration.tests.factories import ACTOR, make_agent, make_done, make_project, make_task, set_status
from runtime.services.finishing import finish_run
from runtime.tests.factories import ending, running
from security.roles import Role

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    return Client(Role.OPERATOR)


def in_review(task: Task) -> Task:
    set_status(task, TaskStatus.REVIEW)
    inbox.ask(ItemType.TASK_COMPLETED, task=task, title="Review", dedupe_key=f"review:{task.pk}", actor="agent:1")
    return task


def test_a_task_is_created_with_all_that_is_said_of_it(client: Client, project: Project, agent: Agent) -> None:
    first, parent = make_task(project), make_task(project)
    given = {
        "project": project.pk,
        "title": "Paginate",
        "description": "The list is long.",
        "acceptance_criteria": "50 a page",
        "task_type": "bug",
        "phase": "verify",
        "priority": 0,
        "assignee": agent.pk,
        "parent": parent.pk,
        "due_at": "2030-01-02T03:04:05Z",
        "not_before": "2029-01-02T03:04:05Z",
        "depends_on": [first.pk],
        "max_attempts": 5,
        "checks": ["pytest -q"],
        "limits": {"turns": 9, "tokens": None, "minutes": None, "usd": 0.5},
    }
    response = client.post("/tasks", **given)
    found = response.json()
    assert (response.status_code, {name: found[name] for name in given}) == (201, given)
    assert (found["key"], found["status"], found["unmet_dependencies"]) == (f"task-{found['id']}", "todo", 1)
    assert (found["active_run"], found["version"]) == (None, 2)


def test_a_title_is_all_a_task_needs(client: Client, project: Project) -> None:
    found = client.post("/tasks", project=project.pk, title="Paginate").json()
    assert (found["priority"], found["depends_on"], found["checks"]) == (2, [], [])
    assert found["limits"] == {"turns": None, "tokens": None, "minutes": None, "usd": None}


def test_an_agent_of_another_project_is_refused(client: Client, project: Project, tmp_path: Path) -> None:
    stranger = make_agent(make_project(tmp_path / "other"))
    response = client.post("/tasks", project=project.pk, title="Paginate", assignee=stranger.pk)
    assert error(response)[:2] == (400, "cross_project")


def test_a_task_that_would_wait_for_another_project_is_not_created(
    client: Client, project: Project, tmp_path: Path
) -> None:
    other = make_task(make_project(tmp_path / "other"))
    response = client.post("/tasks", project=project.pk, title="Paginate", depends_on=[other.pk])
    assert error(response)[:2] == (400, "cross_project")
    assert not Task.objects.filter(project=project).exists()


@pytest.mark.parametrize(
    ("fields", "code", "attr"),
    [
        ({"colour": "red"}, "unknown_field", "colour"),
        ({"status": "done"}, "unknown_field", "status"),
        ({"title": None}, "null", "title"),
        ({"title": "x" * 301}, "max_length", "title"),
        ({"priority": 9}, "invalid_choice", "priority"),
        ({"max_attempts": 0}, "min_value", "max_attempts"),
        ({"max_attempts": 10**30}, "max_value", "max_attempts"),
        ({"assignee": 0}, "does_not_exist", "assignee"),
        ({"depends_on": [0]}, "does_not_exist", "depends_on.0"),
        ({"depends_on": [2**70]}, "does_not_exist", "depends_on.0"),
        ({"depends_on": 1}, "not_a_list", "depends_on"),
        ({"due_at": "tomorrow"}, "invalid", "due_at"),
        ({"due_at": "0001-01-01T00:00:00+14:00"}, "overflow", "due_at"),
        ({"limits": {"beer": 1}}, "unknown_field", "limits.beer"),
        ({"limits": {"turns": 10**30}}, "max_value", "limits.turns"),
        ({"limits": {"usd": 10**400}}, "overflow", "limits.usd"),
        ({"limits": {"usd": "nan"}}, "invalid", "limits.usd"),
        ({"limits": [1]}, "invalid", "limits"),
    ],
)
def test_bad_values_are_refused_by_name(
    client: Client, project: Project, fields: dict[str, Any], code: str, attr: str
) -> None:
    response = client.post("/tasks", **{"project": project.pk, "title": "Paginate", **fields})
    assert error(response) == (400, code, attr)
    assert not Task.objects.exists()


@pytest.mark.parametrize("field", ["project", "assignee", "max_attempts", "priority"])
def test_a_number_beyond_all_numbers_is_refused(client: Client, field: str) -> None:
    assert client.send("/tasks", f'{{"title": "Paginate", "{field}": 1e999}}').status_code == 400


def test_a_task_is_changed(client: Client, task: Task) -> None:
    response = client.patch(f"/tasks/{task.pk}", title="New", priority=1, limits={"usd": 2}, expected_version=1)
    found = response.json()
    assert (response.status_code, found["title"], found["priority"]) == (200, "New", 1)
    assert (found["limits"]["usd"], found["version"]) == (2.0, 2)


def test_a_change_can_take_the_agent_away(client: Client, task: Task, agent: Agent) -> None:
    client.patch(f"/tasks/{task.pk}", assignee=agent.pk)
    assert client.patch(f"/tasks/{task.pk}", assignee=None).json()["assignee"] is None


def test_a_change_of_an_older_version_is_a_conflict(client: Client, task: Task) -> None:
    client.patch(f"/tasks/{task.pk}", title="Newer")
    response = client.patch(f"/tasks/{task.pk}", title="Older", expected_version=1)
    assert error(response)[:2] == (409, "version_conflict")


@pytest.mark.parametrize("fields", [{"project": 1}, {"status": "done"}])
def test_what_commands_and_time_decide_cannot_be_changed(client: Client, task: Task, fields: dict[str, Any]) -> None:
    assert error(client.patch(f"/tasks/{task.pk}", **fields))[:2] == (400, "unknown_field")


def test_a_task_cannot_become_its_own_parent(client: Client, task: Task) -> None:
    assert error(client.patch(f"/tasks/{task.pk}", parent=task.pk)) == (400, "parent_cycle", "parent")


def test_a_task_shows_the_run_under_way(client: Client, task: Task, agent: Agent) -> None:
    run = running(task, agent)
    assert client.get(f"/tasks/{task.pk}").json()["active_run"] == run.pk
    finish_run(run, ending("finished"))
    assert client.get(f"/tasks/{task.pk}").json()["active_run"] is None


def test_pause_and_resume(client: Client, task: Task) -> None:
    paused = client.post(f"/tasks/{task.pk}/pause", expected_version=1)
    assert (paused.status_code, paused.json()["is_held"], paused.json()["version"]) == (200, True, 2)
    assert not client.post(f"/tasks/{task.pk}/resume").json()["is_held"]


def test_cancel_and_retry(client: Client, task: Task) -> None:
    assert client.post(f"/tasks/{task.pk}/cancel").json()["status"] == "cancelled"
    assert client.post(f"/tasks/{task.pk}/retry").json()["status"] == "todo"


def test_approve(client: Client, task: Task) -> None:
    response = client.post(f"/tasks/{in_review(task).pk}/approve")
    assert (response.status_code, response.json()["approved_at"] is None) == (200, False)


def test_request_changes(client: Client, task: Task) -> None:
    response = client.post(f"/tasks/{in_review(task).pk}/request-changes", changes="Shorter")
    assert (response.status_code, response.json()["status"]) == (200, "todo")
    assert task.comments.get().body == "Shorter"


def test_request_changes_says_what_to_change(client: Client, task: Task) -> None:
    path = f"/tasks/{in_review(task).pk}/request-changes"
    assert error(client.post(path)) == (400, "required", "changes")
    assert error(client.post(path, changes=" "))[0] == 400


@pytest.mark.parametrize("command", ["resume", "retry", "approve", "request-changes"])
def test_commands_the_status_does_not_allow_are_conflicts(client: Client, task: Task, command: str) -> None:
    body = {"changes": "Shorter"} if command == "request-changes" else {}
    status, code, _ = error(client.post(f"/tasks/{task.pk}/{command}", **body))
    assert (status, code) == (409, "nothing_to_resume" if command == "resume" else "invalid_transition")


def test_a_command_for_another_version_is_a_conflict(client: Client, task: Task) -> None:
    assert error(client.post(f"/tasks/{task.pk}/cancel", expected_version=2))[:2] == (409, "version_conflict")


def test_a_command_takes_no_unknown_fields(client: Client, task: Task) -> None:
    assert error(client.post(f"/tasks/{task.pk}/pause", force=True)) == (400, "unknown_field", "force")


def test_a_command_needs_no_body(client: Client, task: Task) -> None:
    assert client.send(f"/tasks/{task.pk}/pause", "").status_code == 200


def test_a_command_is_audited_with_its_giver(client: Client, task: Task) -> None:
    client.post(f"/tasks/{task.pk}/pause")
    assert Event.objects.get(type=EventType.TASK_INTERVENTION_AUDIT).actor == "user:operator"


def test_a_command_is_given_by_post(client: Client, task: Task) -> None:
    assert client.get(f"/tasks/{task.pk}/pause").status_code == 405


def test_a_viewer_gives_no_command(task: Task) -> None:
    assert Client(Role.VIEWER).post(f"/tasks/{task.pk}/pause").status_code == 403
    assert Client(Role.VIEWER).get(f"/tasks/{task.pk}/why").status_code == 200


@pytest.mark.parametrize("pk", ["0", "9" * 30, "one"])
def test_an_id_that_is_none_is_not_found(client: Client, pk: str) -> None:
    assert client.get(f"/tasks/{pk}").status_code == 404
    assert client.post(f"/tasks/{pk}/pause").status_code == 404
    assert client.get(f"/tasks/{pk}/why").status_code == 404


def test_why_names_the_reason(client: Client, task: Task, agent: Agent) -> None:
    add_dependency(task, depends_on=make_task(task.project), actor=ACTOR)
    found = client.get(f"/tasks/{task.pk}/why").json()
    assert (found["status"], found["reason"], found["waits_until"]) == ("todo", "dependency", None)


def test_tasks_are_filtered_by_what_they_are(client: Client, project: Project, agent: Agent, tmp_path: Path) -> None:
    one = make_task(project, priority=0, assignee=agent, phase="plan", task_type="bug")
    two = make_task(project, priority=1, parent=one)
    other = make_task(make_project(tmp_path / "other"))
    assert client.ids("/tasks", project=project.pk) == [one.pk, two.pk]
    assert client.ids("/tasks", priority=0) == [one.pk]
    assert client.ids("/tasks", priority=[0, 2]) == [one.pk, other.pk]
    assert client.ids("/tasks", assignee=agent.pk) == [one.pk]
    assert client.ids("/tasks", phase="plan") == [one.pk]
    assert client.ids("/tasks", task_type="bug") == [one.pk]
    assert client.ids("/tasks", parent=one.pk) == [two.pk]


def test_tasks_are_filtered_by_several_statuses(client: Client, project: Project) -> None:
    todo, done = make_task(project), set_status(make_task(project), TaskStatus.DONE)
    set_status(make_task(project), TaskStatus.FAILED)
    assert client.ids("/tasks", status="done") == [done.pk]
    assert client.ids("/tasks", status=["todo", "done"]) == [todo.pk, done.pk]
    assert error(client.get("/tasks", status="lost")) == (400, "invalid_choice", "status")


def test_tasks_are_filtered_by_readiness(client: Client, project: Project) -> None:
    ready, waiting = make_task(project), make_task(project)
    add_dependency(waiting, depends_on=ready, actor=ACTOR)
    assert client.ids("/tasks", ready="true") == [ready.pk]
    assert client.ids("/tasks", ready="false") == [waiting.pk]


def test_tasks_are_filtered_by_what_blocks_them(client: Client, project: Project) -> None:
    first, second = make_task(project), make_task(project)
    add_dependency(second, depends_on=first, actor=ACTOR)
    assert client.ids("/tasks", blocked_by=first.pk) == [second.pk]
    make_done(first)
    assert client.ids("/tasks", blocked_by=first.pk) == []


def test_tasks_are_found_by_their_text(client: Client, project: Project) -> None:
    title = make_task(project, title="Paginate the list")
    description = make_task(project, description="a LIST of things")
    make_task(project, title="Other")
    assert client.ids("/tasks", search="list") == [title.pk, description.pk]
    assert client.ids("/tasks", search="100%") == []
    assert client.get("/tasks", search="a\0b").status_code == 400


def test_tasks_are_ordered_by_urgency(client: Client, project: Project) -> None:
    low, urgent, also = (make_task(project, priority=priority) for priority in (3, 0, 0))
    assert client.ids("/tasks") == [urgent.pk, also.pk, low.pk]
    assert client.ids("/tasks", ordering="-priority,id") == [low.pk, urgent.pk, also.pk]
    assert client.ids("/tasks", ordering="-id") == [also.pk, urgent.pk, low.pk]


def test_pages_lose_no_task_without_a_due_date(client: Client, project: Project) -> None:
    now = timezone.now()
    late, none, soon = (make_task(project, due_at=due) for due in (now + timedelta(2), None, now + timedelta(1)))
    page = client.get("/tasks", ordering="due_at", limit=2).json()
    assert [row["id"] for row in page["results"]] == [soon.pk, late.pk]
    following = page["next"].partition("/api/v1")[2]
    assert client.ids(following) == [none.pk]


def test_a_list_takes_as_many_queries_for_one_as_for_many(client: Client, project: Project, agent: Agent) -> None:
    running(make_task(project), agent)
    before = client.count_queries("/tasks")
    for _ in range(3):
        waiting = make_task(project, assignee=agent, parent=Task.objects.first())
        add_dependency(waiting, depends_on=make_task(project), actor=ACTOR)
    assert client.count_queries("/tasks") == before
