"""Optimistic locks, the same on every row that has a version: ETag, If-Match, expected_version."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from events.models import Event
from events.states import EventType
from orchestration.models import Task
from orchestration.services.dependencies import remove_dependency
from orchestration.services.tasks import move_task
from orchestration.states import TaskStatus
from orchestration.tests.clients import ROOT
from orchestration.tests.factories import ACTOR
from runtime.services.commands import pause_task
from runtime.services.finishing import finish_run
from runtime.tests.factories import ending
from security.roles import Role
from security.tests.factories import make_user
from tests.worlds import World, make_world

pytestmark = pytest.mark.django_db

# Rows with a version, and what a PATCH may change of them.
CHANGES: dict[str, dict[str, Any]] = {
    "projects": {"name": "New"},
    "agents": {"name": "New"},
    "tasks": {"title": "New"},
    "documents": {"title": "New"},
    "comments": {"status": "addressed"},
}
COMMANDS = ["tasks/{tasks}/pause", "tasks/{tasks}/cancel", "runs/{runs}/cancel", "inbox/{inbox}/read"]
VERSIONED = [*CHANGES, "runs", "inbox"]
UNVERSIONED = ["dependencies", "events"]
# What a task shows besides its own row.
DERIVED = {"active_run", "subtasks_total", "subtasks_done"}


@pytest.fixture
def user() -> User:
    return make_user(Role.ADMIN)


@pytest.fixture
def client(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


@pytest.fixture(scope="module")
def made(shared_rows: None, tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"), "bees")


@pytest.fixture
def world(made: World) -> World:
    return copy.deepcopy(made)


def url(world: World, path: str) -> str:
    """Return an address: of `tasks/{tasks}/pause`, or of the row of a noun."""
    path = path if "/" in path else f"{path}/{{{path}}}"
    return f"{ROOT}/{path.format(**world.ids)}"


def shown(client: APIClient, world: World, noun: str) -> dict[str, Any]:
    row: dict[str, Any] = client.get(url(world, noun)).json()
    return row


def body_of(answer: Any) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("noun", VERSIONED)
def test_the_etag_of_a_row_is_its_version(client: APIClient, world: World, noun: str) -> None:
    answer = client.get(url(world, noun))
    assert answer.headers["ETag"] == f'"{body_of(answer)["version"]}"'


@pytest.mark.parametrize("noun", UNVERSIONED)
def test_what_never_changes_has_no_etag(client: APIClient, world: World, noun: str) -> None:
    assert "ETag" not in client.get(url(world, noun)).headers


def test_a_list_has_no_etag(client: APIClient, world: World) -> None:
    assert "ETag" not in client.get(f"{ROOT}/tasks").headers


@pytest.mark.parametrize("noun", CHANGES)
def test_a_change_answers_with_the_new_etag(client: APIClient, world: World, noun: str) -> None:
    before = shown(client, world, noun)["version"]
    answer = client.patch(url(world, noun), CHANGES[noun], format="json")
    assert (answer.status_code, answer.headers["ETag"]) == (200, f'"{before + 1}"')


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command_answers_with_the_new_etag(client: APIClient, world: World, path: str) -> None:
    answer = client.post(url(world, path), format="json")
    assert answer.status_code == 200
    assert (
        answer.headers["ETag"]
        == f'"{body_of(answer)["version"]}"'
        == client.get(answer.request["PATH_INFO"].rpartition("/")[0]).headers["ETag"]
    )


def test_a_new_row_has_its_etag(client: APIClient, world: World) -> None:
    body = {"project": world.project.pk, "title": "Paginate"}
    assert client.post(f"{ROOT}/tasks", body, format="json").headers["ETag"] == '"1"'


@pytest.mark.parametrize("noun", VERSIONED)
def test_a_get_is_answered_whole_whatever_one_has(client: APIClient, world: World, noun: str) -> None:
    # The tag stands for the row as it can be changed, not for all that an answer shows of it.
    tag = client.get(url(world, noun)).headers["ETag"]
    assert client.get(url(world, noun), headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize("noun", CHANGES)
def test_a_change_of_another_version_is_refused(client: APIClient, world: World, noun: str) -> None:
    before = shown(client, world, noun)
    answer = client.patch(url(world, noun), CHANGES[noun], format="json", headers={"If-Match": '"77"'})
    told = body_of(answer)
    assert (answer.status_code, told["code"]) == (412, "precondition_failed")
    assert told["data"] == {name: before[name] for name in ("version", "status") if name in before}
    assert shown(client, world, noun) == before


@pytest.mark.parametrize("noun", CHANGES)
def test_a_change_of_the_version_that_was_read_is_made(client: APIClient, world: World, noun: str) -> None:
    tag = client.get(url(world, noun)).headers["ETag"]
    answer = client.patch(url(world, noun), CHANGES[noun], format="json", headers={"If-Match": tag})
    assert answer.status_code == 200
    again = client.patch(url(world, noun), CHANGES[noun], format="json", headers={"If-Match": tag})
    assert again.status_code == 412


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command_for_another_version_is_refused(client: APIClient, world: World, path: str) -> None:
    answer = client.post(url(world, path), format="json", headers={"If-Match": '"77"'})
    told = body_of(answer)
    assert (answer.status_code, told["code"]) == (412, "precondition_failed")
    row = body_of(client.get(url(world, path).rpartition("/")[0]))
    assert told["data"].items() <= row.items()
    assert told["data"]["version"] == row["version"]


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command_for_the_version_that_was_read_is_carried_out(client: APIClient, world: World, path: str) -> None:
    tag = client.get(url(world, path).rpartition("/")[0]).headers["ETag"]
    assert client.post(url(world, path), format="json", headers={"If-Match": tag}).status_code == 200


def test_a_command_for_another_version_is_on_record(client: APIClient, world: World) -> None:
    client.post(url(world, "tasks/{tasks}/pause"), format="json", headers={"If-Match": '"77"'})
    event = Event.objects.get(type=EventType.TASK_INTERVENTION_AUDIT)
    assert (event.payload["command"], event.payload["outcome"]) == ("pause", "conflict")


@pytest.mark.parametrize("noun", CHANGES)
def test_another_version_is_not_deleted(client: APIClient, world: World, noun: str) -> None:
    before = shown(client, world, noun)
    answer = client.delete(url(world, noun), headers={"If-Match": '"77"'})
    assert (answer.status_code, body_of(answer)["data"]["version"]) == (412, before["version"])
    assert shown(client, world, noun) == before


@pytest.mark.parametrize("noun", ["documents", "comments"])
def test_the_version_that_was_read_is_deleted(client: APIClient, world: World, noun: str) -> None:
    tag = client.get(url(world, noun)).headers["ETag"]
    assert client.delete(url(world, noun), headers={"If-Match": tag}).status_code == 204


@pytest.mark.parametrize(
    ("tag", "expected", "status"),
    [('"1"', 1, 200), ("*", 1, 200), ('"1"', 2, 409), ("*", 2, 409), ('"2"', 1, 412), ('"2"', 2, 412)],
)
@pytest.mark.parametrize("command", ["", "/pause"])
def test_both_versions_have_to_be_the_present_one(
    client: APIClient, world: World, tag: str, expected: int, status: int, command: str
) -> None:
    Task.objects.filter(pk=world.task.pk).update(version=1)
    send = client.post if command else client.patch
    body = {"expected_version": expected}
    answer = send(url(world, "tasks") + command, body, format="json", headers={"If-Match": tag})
    assert answer.status_code == status
    assert status == 200 or body_of(answer)["data"] == {"version": 1, "status": "todo"}


@pytest.mark.parametrize("noun", CHANGES)
def test_a_change_of_nothing_changes_nothing(client: APIClient, world: World, noun: str) -> None:
    before, events = shown(client, world, noun), Event.objects.count()
    for body in ({}, {"expected_version": before["version"]}, {name: before[name] for name in CHANGES[noun]}):
        answer = client.patch(url(world, noun), body, format="json", headers={"If-Match": f'"{before["version"]}"'})
        assert (answer.status_code, body_of(answer)) == (200, before)
    assert Event.objects.count() == events


@pytest.mark.parametrize("noun", CHANGES)
def test_nothing_is_changed_of_another_version_either(client: APIClient, world: World, noun: str) -> None:
    assert client.patch(url(world, noun), {}, format="json", headers={"If-Match": '"77"'}).status_code == 412
    assert client.patch(url(world, noun), {"expected_version": 77}, format="json").status_code == 409


# A task is done before its review is closed.
@pytest.mark.breaks_invariants
def test_every_change_of_a_task_itself_changes_its_etag(client: APIClient, world: World) -> None:
    seen = [client.get(url(world, "tasks"))]

    def look() -> None:
        seen.append(client.get(url(world, "tasks")))

    remove_dependency(world.dependency, actor=ACTOR)
    look()
    client.post(f"{ROOT}/dependencies", {"task": world.task.pk, "depends_on": world.busy.pk}, format="json")
    look()
    finish_run(world.run, ending("finished"))
    move_task(Task.objects.get(pk=world.busy.pk), TaskStatus.DONE, actor=ACTOR)
    look()
    pause_task(world.task, actor=ACTOR)
    look()
    client.post(url(world, "tasks/{tasks}/resume"), format="json")
    look()
    client.post(url(world, "tasks/{tasks}/run"), format="json")
    look()
    assert len({answer.headers["ETag"] for answer in seen}) == len(seen)
    rows = [{name: value for name, value in body_of(answer).items() if name not in DERIVED} for answer in seen]
    assert all(before != after for before, after in itertools.pairwise(rows))
