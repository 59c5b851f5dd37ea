"""A process is killed between any two statements of a request with a key: all of it has happened, or nothing."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import Count, Model, Sum
from rest_framework.test import APIClient

from events.models import Event
from inbox import services as inbox
from inbox.models import InboxItem
from inbox.states import ItemType
from orchestration.models import Agent, Comment, Project, Task, TaskDependency
from orchestration.states import TaskStatus
from orchestration.tests.clients import ROOT
from orchestration.tests.factories import make_agent, make_project, make_task, set_status
from runtime.models import TaskRun
from security.models import IdempotentCommand
from security.roles import Role
from security.tests.factories import make_user
from tests.schedulers import site
from tests.victims import Moment, Request, Victims, victims, wait_for_end_of_victim

pytestmark = pytest.mark.django_db(transaction=True)

Command = tuple[str, dict[str, Any]]
"""The path behind /api/v1, and the body."""
Arrangement = Callable[[Project], Command]
"""Makes the rows that a command needs, and returns it."""


@pytest.fixture
def user() -> User:
    return make_user(Role.ADMIN)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo")


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project)


@pytest.fixture(scope="module")
def doomed(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victims]:
    with site(tmp_path_factory.mktemp("victims")) as place, victims(place.environment) as started:
        yield started


def create(project: Project) -> Command:
    waits_for = [make_task(project).pk, make_task(project).pk]
    return "/tasks", {"project": project.pk, "title": "Paginate", "depends_on": waits_for}


def bulk(project: Project) -> Command:
    drafts = [{"ref": "a", "title": "One"}, {"ref": "b", "title": "Two", "depends_on": ["a"], "parent": "a"}]
    return "/tasks/bulk", {"project": project.pk, "tasks": drafts}


def pause(project: Project) -> Command:
    return f"/tasks/{make_task(project).pk}/pause", {"expected_version": 1}


def run(project: Project) -> Command:
    return f"/tasks/{make_task(project).pk}/run", {}


def request_changes(project: Project) -> Command:
    task = set_status(make_task(project), TaskStatus.REVIEW)
    inbox.ask(ItemType.TASK_COMPLETED, task=task, title="Review", dedupe_key=f"review:{task.pk}", actor="agent:1")
    return f"/tasks/{task.pk}/request-changes", {"changes": "Shorter"}


def broadcast(project: Project) -> Command:
    done = set_status(make_task(project), TaskStatus.DONE)
    return "/tasks/broadcast/pause", {"ids": [make_task(project).pk, done.pk, make_task(project).pk]}


COMMANDS = [create, bulk, pause, run, request_changes, broadcast]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_request_killed_before_any_statement_has_happened_wholly_or_not_at_all(
    command: Arrangement, user: User, project: Project, agent: Agent, doomed: Victims
) -> None:
    steps = kill_at_each_step(command, user, project, doomed, "before")
    # Behind a statement is before the next one; only behind the commit there is none.
    path, body = command(project)
    assert doomed.send(Request(user.pk, ROOT + path, body, "last", steps, "after"))
    assert IdempotentCommand.objects.filter(key="last").exists()


@pytest.mark.torture
@pytest.mark.parametrize("command", COMMANDS)
def test_a_request_killed_after_any_statement_has_happened_wholly_or_not_at_all(
    command: Arrangement, user: User, project: Project, agent: Agent, doomed: Victims
) -> None:
    kill_at_each_step(command, user, project, doomed, "after")


def kill_at_each_step(command: Arrangement, user: User, project: Project, doomed: Victims, moment: Moment) -> int:
    """Kill a request at its first statement, another at its second, and so on; return how many statements there are.

    After each, all of it is there or nothing, and sending it again leads to the whole of it, once.
    """
    client = APIClient()
    client.force_authenticate(user)
    whole = effect_of(client, command(project))
    for step in itertools.count(1):
        path, body = command(project)
        request = Request(user.pk, ROOT + path, body, f"{moment}-{step}", step, moment)
        before = present()
        was_killed = doomed.send(request)
        wait_for_end_of_victim()
        left = present() - before
        assert left in (Counter(), whole), f"killed {moment} statement {step}"
        first, second = (send(client, request) for _ in range(2))
        assert present() - before == whole
        assert first.headers.get("Idempotency-Replayed") == ("true" if left else None)
        assert (first.status_code, first.content) == (second.status_code, second.content)
        if not was_killed:
            assert left
            return step - 1
    raise AssertionError


def effect_of(client: APIClient, command: Command) -> Counter[str]:
    """Return what a request brings about that nobody disturbs."""
    path, body = command
    before = present()
    send(client, Request(0, ROOT + path, body, "undisturbed", 0))
    return present() - before


def send(client: APIClient, request: Request) -> Any:
    answer = client.post(request.path, request.body, format="json", headers={"Idempotency-Key": request.key})
    assert answer.status_code < 300, answer.content
    return answer


def present() -> Counter[str]:
    """Return how much of everything there is that a request may add."""
    rows: list[type[Model]] = [Task, TaskDependency, TaskRun, Comment, InboxItem, IdempotentCommand]
    counted = {model.__name__: model._default_manager.count() for model in rows}
    events = dict(Event.objects.order_by().values_list("type").annotate(Count("pk")))
    versions = {model.__name__ + ".version": _sum_of_versions(model) for model in (Task, InboxItem, TaskRun)}
    return Counter(counted | events | versions)


def _sum_of_versions(model: type[Model]) -> int:
    return model._default_manager.aggregate(total=Sum("version"))["total"] or 0
