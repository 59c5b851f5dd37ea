from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from events.models import Event
from events.states import EventType
from orchestration.models import Project
from orchestration.services.projects import update_project
from orchestration.tests.clients import Client, error
from orchestration.tests.factories import ACTOR, make_project, make_repository
from security.roles import Role

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo")


def body(tmp_path: Path, **fields: Any) -> dict[str, Any]:
    path = tmp_path / "new"
    if not path.exists():
        make_repository(path)
    return {"name": "Hive", "root_path": str(path)} | fields


def test_a_project_is_created_for_a_repository(client: Client, tmp_path: Path) -> None:
    response = client.post("/projects", **body(tmp_path, checks=["make test"], daily_budget_usd="2.5"))
    assert response.status_code == 201
    found = response.json()
    assert (found["slug"], found["base_branch"], found["checks"]) == ("hive", "main", ["make test"])
    assert (found["daily_budget_usd"], found["is_paused"], found["is_archived"]) == ("2.500000", False, False)
    assert (Project.objects.get().pk, found["version"]) == (found["id"], 1)


def test_the_event_names_who_created_it(client: Client, tmp_path: Path) -> None:
    client.post("/projects", **body(tmp_path))
    assert Event.objects.get(type=EventType.PROJECT_CREATED).actor == "user:admin"


def test_a_path_that_is_no_repository_is_refused_with_the_reason(client: Client, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    assert error(client.post("/projects", name="Hive", root_path=str(tmp_path / "plain")))[:2] == (
        400,
        "not_a_repository",
    )
    assert error(client.post("/projects", name="Hive", root_path=str(tmp_path / "none")))[:2] == (400, "path_not_found")
    assert not Project.objects.exists()


def test_a_base_branch_that_is_missing_is_refused(client: Client, tmp_path: Path) -> None:
    assert error(client.post("/projects", **body(tmp_path, base_branch="trunk")))[:2] == (400, "base_branch_missing")


def test_a_slug_that_is_taken_is_a_conflict(client: Client, tmp_path: Path, project: Project) -> None:
    assert error(client.post("/projects", **body(tmp_path, slug=project.slug)))[:2] == (409, "slug_taken")


@pytest.mark.parametrize(
    ("fields", "code", "attr"),
    [
        ({"colour": "red"}, "unknown_field", "colour"),
        ({"is_archived": True}, "unknown_field", "is_archived"),
        ({"expected_version": 1}, "unknown_field", "expected_version"),
        ({"name": ""}, "blank", "name"),
        ({"slug": "Not a slug"}, "invalid", "slug"),
        ({"daily_budget_usd": -1}, "min_value", "daily_budget_usd"),
        ({"max_parallel_runs": 2**31}, "max_value", "max_parallel_runs"),
        ({"max_in_review": 10**400}, "max_value", "max_in_review"),
        ({"checks": "make test"}, "not_a_list", "checks"),
        ({"checks": [["make"]]}, "invalid", "checks.0"),
        ({"setup_command": "a\0b"}, "null_characters_not_allowed", "setup_command"),
    ],
)
def test_bad_values_are_refused_by_name(
    client: Client, tmp_path: Path, fields: dict[str, Any], code: str, attr: str
) -> None:
    assert error(client.post("/projects", **body(tmp_path, **fields))) == (400, code, attr)
    assert not Project.objects.exists()


def test_a_body_that_is_no_object_is_refused(client: Client) -> None:
    assert client.send("/projects", "[1]").status_code == 400
    assert client.send("/projects", "null").status_code == 400
    assert client.send("/projects", "{").status_code == 400


def test_a_project_is_paused_by_a_change(client: Client, project: Project) -> None:
    response = client.patch(f"/projects/{project.pk}", is_paused=True, expected_version=1)
    assert (response.status_code, response.json()["is_paused"], response.json()["version"]) == (200, True, 2)


def test_a_change_of_an_older_version_is_a_conflict(client: Client, project: Project) -> None:
    update_project(Project.objects.get(), actor=ACTOR, name="Newer")
    response = client.patch(f"/projects/{project.pk}", name="Older", expected_version=1)
    assert error(response)[:2] == (409, "version_conflict")
    assert (response.json()["data"], Project.objects.get().name) == ({"version": 2}, "Newer")


def test_a_project_cannot_be_replaced(client: Client, project: Project) -> None:
    assert client.put(f"/projects/{project.pk}", name="Other").status_code == 405


@pytest.mark.parametrize("pk", ["0", "9" * 30, "9" * 5000, "one", "-1"])
def test_an_id_that_is_none_is_not_found(client: Client, pk: str) -> None:
    assert error(client.get(f"/projects/{pk}"))[:2] == (404, "not_found")


def test_only_an_admin_sets_what_runs_in_a_shell(project: Project) -> None:
    assert Client(Role.OPERATOR).patch(f"/projects/{project.pk}", setup_command="true").status_code == 403
    assert Client(Role.OPERATOR).post("/projects", name="Hive").status_code == 403


def test_a_viewer_reads_and_a_stranger_does_not(project: Project) -> None:
    assert Client(Role.VIEWER).get(f"/projects/{project.pk}").json()["name"] == project.name
    assert Client(None).get("/projects").status_code == 401


def test_projects_are_listed_by_name_and_filtered(client: Client, tmp_path: Path) -> None:
    b, a = make_project(tmp_path / "b", name="B"), make_project(tmp_path / "a", name="A", is_paused=True)
    assert client.ids("/projects") == [a.pk, b.pk]
    assert client.ids("/projects", ordering="-id") == [a.pk, b.pk]
    assert client.ids("/projects", is_paused="true") == [a.pk]
    assert client.ids("/projects", slug="b") == [b.pk]


def test_a_list_takes_as_many_queries_for_one_as_for_many(client: Client, tmp_path: Path) -> None:
    make_project(tmp_path / "one")
    before = client.count_queries("/projects")
    for name in "abc":
        make_project(tmp_path / name)
    assert client.count_queries("/projects") == before
