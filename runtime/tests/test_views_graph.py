from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.models import Project, Task
from orchestration.tests.clients import Client
from orchestration.tests.factories import make_done, make_project, make_task
from security.roles import Role

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    return Client(Role.VIEWER)


@pytest.fixture
def chain(project: Project) -> list[Task]:
    """Three tasks, each of which waits for the one before, and one that waits for nobody."""
    first = make_task(project)
    second = make_task(project, depends_on=[first])
    return [first, second, make_task(project, depends_on=[second]), make_task(project)]


def test_a_task_shows_what_is_before_and_behind_it(client: Client, chain: list[Task]) -> None:
    first, second, third, _ = chain
    told = client.get(f"/tasks/{second.pk}/graph").json()
    assert [(node["id"], node["distance"]) for node in told["up"]] == [(first.pk, 1)]
    assert [(node["id"], node["distance"]) for node in told["down"]] == [(third.pk, 1)]
    assert told["edges"] == [
        {"task": second.pk, "depends_on": first.pk},
        {"task": third.pk, "depends_on": second.pk},
    ]
    assert (told["task"], told["is_truncated"]) == (second.pk, False)


def test_the_critical_path_leads_from_what_is_not_done_to_the_last(client: Client, chain: list[Task]) -> None:
    first, second, third, _ = chain
    assert client.get(f"/tasks/{second.pk}/graph").json()["critical_path"] == [first.pk, second.pk, third.pk]
    make_done(first)
    assert client.get(f"/tasks/{second.pk}/graph").json()["critical_path"] == [second.pk, third.pk]


def test_a_project_shows_all_its_tasks_and_edges(client: Client, chain: list[Task], tmp_path: Path) -> None:
    make_task(make_project(tmp_path / "other"))
    told = client.get(f"/projects/{chain[0].project_id}/graph").json()
    assert [node["id"] for node in told["nodes"]] == [task.pk for task in chain]
    assert len(told["edges"]) == 2
    assert told["critical_path"] == [task.pk for task in chain[:3]]
    assert told["nodes"][1] | {"title": ""} == {
        "id": chain[1].pk,
        "key": chain[1].key,
        "title": "",
        "status": "todo",
        "priority": 2,
        "is_held": False,
        "unmet_dependencies": 1,
        "parent": None,
    }


def test_a_graph_takes_as_many_queries_for_a_wide_one(client: Client, chain: list[Task], project: Project) -> None:
    paths = [f"/tasks/{chain[1].pk}/graph", f"/projects/{project.pk}/graph"]
    before = [client.count_queries(path) for path in paths]
    for _ in range(5):
        make_task(project, depends_on=[chain[1]])
    assert [client.count_queries(path) for path in paths] == before
