"""What every list can do: fewer fields, whole rows in place of ids, orders, pages; and how often it asks the database."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from events.models import Event
from inbox.models import InboxItem
from llm.models import Breaker
from orchestration.models import Agent, Comment, Document, Project, Task, TaskDependency
from orchestration.tests.clients import ROOT
from runtime.models import RunLog, TaskRun
from security.models import ApiToken
from security.roles import Role
from security.tests.factories import make_token, make_user
from tests.endpoints import API, endpoints
from tests.worlds import World, make_world

# Many rows are made at once, as no service would make them.
pytestmark = [pytest.mark.django_db, pytest.mark.breaks_invariants]

LISTS = sorted(path for path, endpoint in endpoints().items() if path.startswith(API) and endpoint.action == "list")
MORE = 19


@pytest.fixture(scope="module")
def made(shared_rows: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[User, World]:
    """Make one of everything, and an admin with a token."""
    user = make_user(Role.ADMIN)
    make_token(user)
    return user, make_world(tmp_path_factory.mktemp("world"), "bees")


@pytest.fixture
def user(made: tuple[User, World]) -> User:
    return copy.deepcopy(made[0])


@pytest.fixture
def client(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


@pytest.fixture
def world(made: tuple[User, World]) -> World:
    return copy.deepcopy(made[1])


def make_more(world: World, user: User) -> None:
    """Make more rows of each kind, each about others; some values are the same in all, some are missing in every second."""
    numbers, now = range(MORE), timezone.now()
    projects = Project.objects.bulk_create(Project(name=f"P {n % 5}", slug=f"p{n}", root_path="/") for n in numbers)
    agents = Agent.objects.bulk_create(Agent(project=project, name=f"A {n}") for n, project in enumerate(projects))
    tasks = Task.objects.bulk_create(
        Task(
            project=projects[n],
            title=f"T {n}",
            assignee=agents[n],
            parent=world.parent,
            priority=n % 3,
            due_at=now if n % 2 else None,
        )
        for n in numbers
    )
    TaskDependency.objects.bulk_create(TaskDependency(task=task, depends_on=world.parent) for task in tasks)
    TaskDependency.objects.bulk_create(TaskDependency(task=world.busy, depends_on=task) for task in tasks)
    documents = Document.objects.bulk_create(
        Document(project=project, path="a.md", title=f"D {n % 5}") for n, project in enumerate(projects)
    )
    Comment.objects.bulk_create(Comment(task=task, body="Why?", author="ada") for task in tasks)
    Comment.objects.bulk_create(Comment(document=document, body="Why?", author="ada") for document in documents)
    runs = TaskRun.objects.bulk_create(
        TaskRun(task=tasks[n], agent=agents[n], attempt=1, idempotency_key=f"run {n}", trace_id="t") for n in numbers
    )
    RunLog.objects.bulk_create(RunLog.of(run, seq=1, at=now, kind="text", body={}) for run in runs)
    InboxItem.objects.bulk_create(
        InboxItem(
            project=projects[n], task=tasks[n] if n % 2 else None, item_type="alert", title="!", dedupe_key=f"{n}"
        )
        for n in numbers
    )
    Event.objects.bulk_create(
        Event(at=now, type="task.created", project_id=projects[n].pk, actor="user:ada", trace_id="t") for n in numbers
    )
    Breaker.objects.bulk_create(Breaker(provider="noop", fingerprint=f"{n}") for n in numbers)
    ApiToken.objects.bulk_create(ApiToken(user=user, name=f"ci {n % 5}", digest=f"{n}") for n in numbers)


def rows_of(client: APIClient, path: str, **query: str) -> list[dict[str, Any]]:
    answer = client.get(f"/{path}", query)
    assert answer.status_code == 200, answer.content
    rows: list[dict[str, Any]] = answer.json()["results"]
    return rows


def expandable(path: str) -> list[str]:
    return list(endpoints()[path].view.expandable)


def test_there_are_lists() -> None:
    assert len(LISTS) >= 10


@pytest.mark.parametrize("path", LISTS)
def test_a_list_asks_the_database_as_often_for_twenty_rows_as_for_one(
    client: APIClient, world: World, user: User, path: str
) -> None:
    queries: list[dict[str, str]] = [{}]
    if expandable(path):
        queries.append({"expand": ",".join(expandable(path))})
    before = [count_queries(client, path, query) for query in queries]
    make_more(world, user)
    assert len(rows_of(client, path)) > MORE
    assert [count_queries(client, path, query) for query in queries] == before


@pytest.mark.parametrize("path", LISTS)
def test_with_whole_rows_in_place_of_ids_a_list_asks_no_more_often(client: APIClient, world: World, path: str) -> None:
    if names := ",".join(expandable(path)):
        assert count_queries(client, path, {"expand": names}) == count_queries(client, path, {})


def count_queries(client: APIClient, path: str, query: dict[str, str]) -> int:
    # The user stays in memory from one request to the next, and remembers what was asked about it.
    rows_of(client, path, **query)
    with CaptureQueriesContext(connection) as captured:
        rows_of(client, path, **query)
    return len(captured)


@pytest.mark.parametrize("path", LISTS)
def test_each_field_can_be_had_alone_and_is_the_same(client: APIClient, world: World, path: str) -> None:
    whole = rows_of(client, path)
    for name in whole[0]:
        assert rows_of(client, path, fields=name) == [{name: row[name]} for row in whole]


@pytest.mark.parametrize("path", LISTS)
def test_one_row_can_be_had_with_few_fields(client: APIClient, world: World, path: str) -> None:
    [name, *_] = [name for name in rows_of(client, path)[0] if name != "id"]
    row = rows_of(client, path)[0]
    assert client.get(f"/{path}/{row['id']}", {"fields": f"id, {name}"}).json() == {"id": row["id"], name: row[name]}


@pytest.mark.parametrize("path", LISTS)
def test_a_whole_row_is_the_one_whose_id_it_replaces(client: APIClient, world: World, path: str) -> None:
    for name in expandable(path):
        for plain, expanded in zip(rows_of(client, path), rows_of(client, path, expand=name), strict=True):
            assert plain.keys() == expanded.keys()
            whole = expanded.pop(name)
            assert (whole and whole["id"]) == plain.pop(name)
            assert plain == expanded
            assert client.get(f"/{path}/{plain['id']}", {"expand": name}).json()[name] == whole


def test_a_whole_row_can_be_had_alone(client: APIClient, world: World) -> None:
    [row, *_] = rows_of(client, f"{API}tasks", fields="project", expand="project,assignee")
    assert (list(row), row["project"]["name"]) == (["project"], "bees")


def test_what_is_not_shown_is_not_read(client: APIClient, world: World) -> None:
    with CaptureQueriesContext(connection) as captured:
        rows_of(client, f"{API}tasks", fields="id,title", expand="assignee")
    asked = " ".join(query["sql"] for query in captured)
    assert '"orchestration_task"' in asked
    for table in ("orchestration_taskdependency", "runtime_taskrun", "orchestration_agent"):
        assert table not in asked


ORDERS = [
    (path, sign + field) for path in LISTS for field in endpoints()[path].view.ordering_fields for sign in ("", "-")
]


@pytest.mark.parametrize(("path", "ordering"), ORDERS)
def test_every_order_holds_over_its_pages(
    client: APIClient, world: World, user: User, path: str, ordering: str
) -> None:
    make_more(world, user)
    whole = rows_of(client, path, ordering=ordering, limit="200")
    assert_ordered([row[ordering.lstrip("-")] for row in whole], is_descending=ordering.startswith("-"))
    pages = list(walk(client, f"/{path}?ordering={ordering}&limit=7", "next"))
    assert list(itertools.chain(*pages)) == whole
    assert len({row["id"] for row in whole}) == len(whole) > MORE


@pytest.mark.parametrize("path", LISTS)
def test_the_pages_lead_back(client: APIClient, world: World, user: User, path: str) -> None:
    make_more(world, user)
    url = f"/{path}?limit=7"
    while following := client.get(url).json()["next"]:
        url = following
    back = list(walk(client, url, "previous"))
    assert list(itertools.chain(*reversed(back))) == rows_of(client, path, limit="200")


def walk(client: APIClient, url: str | None, link: str) -> Any:
    while url:
        answer = client.get(url).json()
        yield answer["results"]
        url = answer[link]


def assert_ordered(values: list[Any], *, is_descending: bool) -> None:
    present = [value for value in values if value is not None]
    assert present == sorted(present, reverse=is_descending)
    # What is empty comes last, whatever the direction.
    assert values == present + [None] * (len(values) - len(present))


@pytest.mark.parametrize("parameter", ["fields", "expand"])
@pytest.mark.parametrize("name", ["honey", "", "id,honey", "ID", "project__name", "project.name", "\0", "id,,title"])
def test_a_field_there_is_not_is_refused_before_anything_is_done(
    client: APIClient, world: World, parameter: str, name: str
) -> None:
    tasks = f"{ROOT}/tasks"
    before = client.get(tasks).json()
    query = {parameter: name}
    for answer in (
        client.get(tasks, query),
        client.get(f"{tasks}/{world.task.pk}", query),
        client.post(tasks, {"project": world.project.pk, "title": "New"}, format="json", query_params=query),
        client.patch(f"{tasks}/{world.task.pk}", {"title": "New"}, format="json", query_params=query),
        client.post(f"{tasks}/{world.task.pk}/pause", format="json", query_params=query),
    ):
        [error] = answer.json()["errors"]
        code = "invalid" if name else "blank"
        assert (answer.status_code, error["code"], error["parameter"]) == (400, code, parameter)
    assert client.get(tasks).json() == before


def test_what_changes_a_row_answers_as_it_is_asked_to(client: APIClient, world: World) -> None:
    tasks, query = f"{ROOT}/tasks", {"fields": "project,version", "expand": "project"}
    answers = [
        client.post(tasks, {"project": world.project.pk, "title": "New"}, format="json", query_params=query),
        client.patch(f"{tasks}/{world.task.pk}", {"title": "New"}, format="json", query_params=query),
        client.post(f"{tasks}/{world.task.pk}/pause", format="json", query_params=query),
    ]
    assert [answer.status_code for answer in answers] == [201, 200, 200]
    for answer in answers:
        row = answer.json()
        assert (sorted(row), row["project"]["name"]) == (["project", "version"], "bees")
        assert answer.headers["ETag"] == f'"{row["version"]}"'
