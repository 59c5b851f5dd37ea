"""Several clients send the same requests with the same keys at the same moment: each has one effect and one answer."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from functools import partial
from http import HTTPStatus
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from rest_framework.test import APIClient

from events.models import Event
from events.states import EventType
from orchestration import git
from orchestration.git import inspect_repository
from orchestration.models import Comment, Project, Task
from orchestration.services.locks import lock_tasks
from orchestration.tests.clients import ROOT
from orchestration.tests.factories import make_agent, make_project, make_repository, make_task
from orchestration.tests.races import meanwhile, race, result
from runtime.models import TaskRun
from security.models import IdempotentCommand
from security.roles import Role
from security.tests.factories import make_user

pytestmark = pytest.mark.django_db(transaction=True)

CLIENTS = 8
_PATIENCE_S = 60.0

Command = tuple[str, dict[str, Any]]
"""The path behind /api/v1, and the body."""


@pytest.fixture
def user() -> User:
    return make_user(Role.ADMIN)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = make_project(tmp_path / "repo")
    make_agent(project)
    return project


def send(user: User, key: str, command: Command) -> Any:
    client = APIClient()
    client.force_authenticate(user)
    path, body = command
    return client.post(ROOT + path, body, format="json", headers={"Idempotency-Key": key})


def send_until_answered(user: User, key: str, command: Command) -> Any:
    """Send a request, and again while another one with its key is under way."""
    deadline = time.monotonic() + _PATIENCE_S
    while (answer := send(user, key, command)).status_code == HTTPStatus.CONFLICT:
        assert answer.json()["code"] == "idempotency_key_in_use", answer.content
        assert connection.vendor == "postgresql", "on SQLite the second waits for the first"
        assert answer.headers["Retry-After"] == "1"
        assert time.monotonic() < deadline
    return answer


def commands_for(project: Project) -> dict[str, Command]:
    """Return commands by their keys; several are about the same tasks."""
    tasks = [make_task(project) for _ in range(6)]
    ids = [task.pk for task in tasks]
    drafts = [{"ref": "a", "title": "bulk"}, {"ref": "b", "title": "bulk", "depends_on": ["a", ids[0]]}]
    commands: dict[str, Command] = {
        "bulk": ("/tasks/bulk", {"project": project.pk, "tasks": drafts}),
        "pause-some": ("/tasks/broadcast/pause", {"ids": ids[:4]}),
        "resume-some": ("/tasks/broadcast/resume", {"ids": ids[2:]}),
        "run": (f"/tasks/{ids[5]}/run", {}),
        "comment": ("/comments", {"task": ids[0], "body": "Why?"}),
        "edge": ("/dependencies", {"task": ids[0], "depends_on": ids[1]}),
    }
    for number, id_ in enumerate(ids[:4]):
        commands[f"create-{number}"] = "/tasks", {"project": project.pk, "title": f"create {number}"}
        commands[f"pause-{number}"] = f"/tasks/{id_}/pause", {}
    return commands


def test_of_eight_clients_with_the_same_keys_each_key_has_one_effect_and_one_answer(
    user: User, project: Project
) -> None:
    commands = commands_for(project)
    answers: dict[str, Counter[tuple[int, bytes]]] = defaultdict(Counter)

    def work(seed: int) -> None:
        # Half of them go the same way and meet at every key, the others come across it.
        keys = sorted(commands)
        Random(seed % 2).shuffle(keys)
        for key in keys:
            answer = send_until_answered(user, key, commands[key])
            answers[key][answer.status_code, answer.content] += 1

    race(*(partial(work, seed) for seed in range(CLIENTS)))
    for key, given in answers.items():
        assert [count for _, count in given.items()] == [CLIENTS], (key, given)
        assert all(status < HTTPStatus.MULTIPLE_CHOICES for status, _ in given), (key, given)
    assert_each_had_one_effect(commands)


def assert_each_had_one_effect(commands: dict[str, Command]) -> None:
    assert IdempotentCommand.objects.count() == len(commands)
    titles = Counter(Task.objects.filter(title__regex="^(create|bulk)").values_list("title", flat=True))
    assert titles == Counter({"bulk": 2} | {f"create {number}": 1 for number in range(4)})
    assert (Comment.objects.count(), TaskRun.objects.count()) == (1, 1)
    audited = Event.objects.filter(type=EventType.TASK_INTERVENTION_AUDIT).values_list("payload__command", flat=True)
    # Four by name and four by broadcast were paused.
    assert Counter(audited) == Counter(pause=8, resume=4, run=1)


def test_while_a_request_is_under_way_the_same_one_is_told_to_wait(user: User, project: Project) -> None:
    task = make_task(project)
    pause = partial(send, user, "key", (f"/tasks/{task.pk}/pause", {}))
    with transaction.atomic():
        lock_tasks([task.pk])
        first, second = meanwhile(pause), meanwhile(pause)
        if connection.vendor == "postgresql":
            told: Any = result(second)
            assert (told.status_code, told.json()["code"]) == (409, "idempotency_key_in_use")
            assert told.headers["Retry-After"] == "1"
    answers: list[Any] = [result(first)]
    # Whom PostgreSQL told to wait asks again now; on SQLite the second request was the one that waited.
    answers.append(pause() if connection.vendor == "postgresql" else result(second))
    assert answers[0].content == answers[1].content
    assert sorted("Idempotency-Replayed" in answer.headers for answer in answers) == [False, True]


@pytest.mark.parametrize("key", ["", "key"])
def test_git_is_asked_before_the_transaction_begins(
    user: User, tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On SQLite nobody else could write while git, or a disk, does not answer.
    asked: list[bool] = []

    def inspect(*args: Any) -> str:
        asked.append(connection.in_atomic_block)
        return inspect_repository(*args)

    monkeypatch.setattr(git, "inspect_repository", inspect)
    client = APIClient()
    client.force_authenticate(user)
    body = {"name": "Hive", "root_path": str(make_repository(tmp_path / "repo"))}
    headers = {"Idempotency-Key": key} if key else {}
    answers = [client.post(f"{ROOT}/projects", body, format="json", headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201 if key else 409]
    path = f"{ROOT}/projects/{answers[0].json()['id']}"
    assert client.patch(path, {"base_branch": "main", "name": "Bees"}, format="json").status_code == 200
    # What is answered from memory asks nobody.
    assert asked == [False] * (2 if key else 3)


def test_of_eight_changes_of_the_same_version_one_is_made(user: User, project: Project) -> None:
    task = make_task(project)

    def change(title: str) -> Any:
        client = APIClient()
        client.force_authenticate(user)
        return client.patch(f"{ROOT}/tasks/{task.pk}", {"title": title}, format="json", headers={"If-Match": '"1"'})

    answers = race(*(partial(change, f"Title {number}") for number in range(CLIENTS)))
    assert_one_won(answers)
    task.refresh_from_db()
    assert task.version == 2


@pytest.mark.parametrize("command", ["pause", "cancel"])
def test_of_eight_commands_for_the_same_version_one_is_carried_out(user: User, project: Project, command: str) -> None:
    task = make_task(project)

    def give() -> Any:
        client = APIClient()
        client.force_authenticate(user)
        return client.post(f"{ROOT}/tasks/{task.pk}/{command}", format="json", headers={"If-Match": '"1"'})

    assert_one_won(race(*[give] * CLIENTS))
    outcomes = Event.objects.filter(type=EventType.TASK_INTERVENTION_AUDIT).values_list("payload__outcome", flat=True)
    assert Counter(outcomes) == {"applied": 1, "conflict": CLIENTS - 1}


def assert_one_won(answers: list[Any]) -> None:
    assert Counter(answer.status_code for answer in answers) == {200: 1, 412: CLIENTS - 1}
    lost = [answer.json() for answer in answers if answer.status_code == HTTPStatus.PRECONDITION_FAILED]
    assert all((told["code"], told["data"]["version"]) == ("precondition_failed", 2) for told in lost)
