from __future__ import annotations

from typing import Any

import pytest

from events.models import Event
from orchestration.models import Project, Task
from orchestration.tests.clients import Client, error
from orchestration.tests.factories import make_agent, make_task
from security.roles import Role

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    return Client(Role.OPERATOR)


def drafts(*refs: str, **more: Any) -> list[dict[str, Any]]:
    return [{"ref": ref, "title": f"Task {ref}", **more} for ref in refs]


def test_a_graph_is_made_in_one_request(client: Client, project: Project) -> None:
    before = make_task(project)
    first, second = drafts("a", "b")
    body = {"project": project.pk, "tasks": [first, second | {"depends_on": ["a", before.pk], "parent": "a"}]}
    answer = client.post("/tasks/bulk", **body)
    assert answer.status_code == 201, answer.content
    made = answer.json()["tasks"]
    assert [task["ref"] for task in made] == ["a", "b"]
    shown = client.get(f"/tasks/{made[1]['id']}").json()
    assert (shown["key"], shown["version"]) == (made[1]["key"], made[1]["version"])
    assert sorted(shown["depends_on"]) == sorted([before.pk, made[0]["id"]])
    assert (shown["parent"], shown["unmet_dependencies"]) == (made[0]["id"], 2)


def test_fields_of_a_draft_are_those_of_a_task(client: Client, project: Project) -> None:
    agent = make_agent(project)
    fields = {
        "priority": 0,
        "task_type": "bug",
        "checks": ["make"],
        "due_at": "2026-12-01T09:00:00Z",
        "assignee": agent.pk,
    }
    answer = client.post("/tasks/bulk", project=project.pk, tasks=drafts("a", **fields))
    shown = client.get(f"/tasks/{answer.json()['tasks'][0]['id']}").json()
    assert {name: shown[name] for name in fields} == fields


@pytest.mark.parametrize(
    ("changed", "code", "place"),
    [
        ({"depends_on": ["nobody"]}, "unknown_ref", "tasks.1.depends_on.0"),
        ({"depends_on": [0]}, "invalid", "tasks.1.depends_on.0"),
        ({"depends_on": [True]}, "invalid", "tasks.1.depends_on.0"),
        ({"depends_on": ["b"]}, "dependency_cycle", "tasks.1.depends_on.0"),
        ({"parent": "nobody"}, "unknown_ref", "tasks.1.parent"),
        ({"ref": "a"}, "duplicate_ref", "tasks.1.ref"),
        ({"title": ""}, "blank", "tasks.1.title"),
        ({"beer": 1}, "unknown_field", "tasks.1.beer"),
        ({"limits": {"usd": -1}}, "invalid", "tasks.1.limits"),
    ],
)
def test_one_bad_draft_makes_nothing_and_is_named(
    client: Client, project: Project, changed: dict[str, Any], code: str, place: str
) -> None:
    first, second = drafts("a", "b")
    events = Event.objects.count()
    answer = client.post("/tasks/bulk", project=project.pk, tasks=[first, second | changed])
    assert error(answer) == (400, code, place)
    assert (Task.objects.count(), Event.objects.count()) == (0, events)


def test_no_task_at_all_is_refused(client: Client, project: Project) -> None:
    assert error(client.post("/tasks/bulk", project=project.pk, tasks=[])) == (400, "empty", "tasks")


def test_a_viewer_makes_none(project: Project) -> None:
    assert Client(Role.VIEWER).post("/tasks/bulk", project=project.pk, tasks=drafts("a")).status_code == 403
