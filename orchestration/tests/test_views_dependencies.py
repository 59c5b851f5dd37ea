from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.models import Project, Task, TaskDependency
from orchestration.services.dependencies import add_dependency
from orchestration.states import TaskStatus
from orchestration.tests.clients import Client, error
from orchestration.tests.factories import ACTOR, make_project, make_task, set_status
from security.roles import Role

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    return Client(Role.OPERATOR)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo")


@pytest.fixture
def chain(project: Project) -> tuple[Task, Task]:
    """Return two tasks, the second of which waits for the first."""
    first, second = make_task(project), make_task(project)
    add_dependency(second, depends_on=first, actor=ACTOR)
    return first, second


def test_a_dependency_is_created(client: Client, project: Project) -> None:
    first, second = make_task(project), make_task(project)
    response = client.post("/dependencies", task=second.pk, depends_on=first.pk)
    assert response.status_code == 201
    assert response.json() == {
        "id": TaskDependency.objects.get().pk,
        "task": second.pk,
        "depends_on": first.pk,
        "kind": "finish_to_start",
    }
    assert Task.objects.get(pk=second.pk).unmet_dependencies == 1


def test_an_edge_that_exists_is_answered_as_it_is(client: Client, chain: tuple[Task, Task]) -> None:
    response = client.post("/dependencies", task=chain[1].pk, depends_on=chain[0].pk)
    assert (response.status_code, response.json()["id"]) == (201, TaskDependency.objects.get().pk)


def test_a_cycle_is_refused(client: Client, chain: tuple[Task, Task]) -> None:
    first, second = chain
    assert error(client.post("/dependencies", task=first.pk, depends_on=second.pk))[:2] == (400, "dependency_cycle")
    assert error(client.post("/dependencies", task=first.pk, depends_on=first.pk))[:2] == (400, "dependency_cycle")


def test_tasks_of_two_projects_cannot_wait_for_each_other(client: Client, project: Project, tmp_path: Path) -> None:
    mine, other = make_task(project), make_task(make_project(tmp_path / "other"))
    assert error(client.post("/dependencies", task=mine.pk, depends_on=other.pk))[:2] == (400, "cross_project")


def test_what_a_task_waits_for_is_settled_once_it_has_begun(client: Client, project: Project) -> None:
    first, second = make_task(project), set_status(make_task(project), TaskStatus.RUNNING)
    assert error(client.post("/dependencies", task=second.pk, depends_on=first.pk))[:2] == (409, "task_not_open")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("0", "does_not_exist"),
        (str(2**70), "does_not_exist"),
        ("1.5", "invalid"),
        ("true", "invalid"),
        ('"one"', "invalid"),
        ("[1]", "invalid"),
        ("null", "null"),
    ],
)
def test_a_task_that_is_none_is_refused(client: Client, project: Project, given: str, code: str) -> None:
    text = f'{{"task": {make_task(project).pk}, "depends_on": {given}}}'
    assert error(client.send("/dependencies", text)) == (400, code, "depends_on")


def test_a_dependency_is_removed(client: Client, chain: tuple[Task, Task]) -> None:
    dependency = TaskDependency.objects.get()
    response = client.delete(f"/dependencies/{dependency.pk}")
    assert (response.status_code, response.content) == (204, b"")
    assert Task.objects.get(pk=chain[1].pk).unmet_dependencies == 0
    assert client.get(f"/dependencies/{dependency.pk}").status_code == 404


def test_a_viewer_changes_no_edge(chain: tuple[Task, Task]) -> None:
    assert Client(Role.VIEWER).delete(f"/dependencies/{TaskDependency.objects.get().pk}").status_code == 403


def test_dependencies_are_filtered_by_each_end_and_the_project(client: Client, chain: tuple[Task, Task]) -> None:
    first, second = chain
    edge = TaskDependency.objects.get().pk
    assert client.ids("/dependencies", task=second.pk) == [edge]
    assert client.ids("/dependencies", task=first.pk) == []
    assert client.ids("/dependencies", depends_on=first.pk) == [edge]
    assert client.ids("/dependencies", project=first.project_id) == [edge]


@pytest.mark.parametrize("value", ["0", "x", str(2**70), "9" * 5000])
def test_filtering_by_a_row_that_is_none_is_refused(client: Client, value: str) -> None:
    assert error(client.get("/dependencies", project=value))[::2] == (400, "project")


def test_a_list_takes_as_many_queries_for_one_as_for_many(client: Client, chain: tuple[Task, Task]) -> None:
    before = client.count_queries("/dependencies")
    for _ in range(3):
        add_dependency(make_task(chain[0].project), depends_on=chain[0], actor=ACTOR)
    assert client.count_queries("/dependencies") == before
