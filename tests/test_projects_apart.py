"""Who is limited to one project learns nothing of another, not even that it is there.

Two projects have one of everything each; an admin may see the first only. Wherever an id goes in, one of the other
project is answered as one that does not exist, and changes nothing.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core import serializers
from django.test import Client
from rest_framework.fields import Field

from api.bodies import RowField, RowsField, StrictSerializer
from api.filters import IdFilter
from events.models import Event
from runtime.services.broadcasting import COMMANDS
from security.models import ApiToken, IdempotentCommand
from security.roles import Role
from security.services import limit_access
from security.tests.factories import ACTOR, make_token, make_user
from tests.endpoints import API, Endpoint, endpoints
from tests.worlds import World, make_world

pytestmark = pytest.mark.django_db

# An id that nothing has.
MISSING = 10**9
# What carries on whatever is asked: who came when, and what was refused.
KEPT_ASIDE = {Event, IdempotentCommand}

# What belongs to a person, or to the installation, and says nothing of any project.
NO_PROJECTS = {"tokens", "breakers"}
ROWS = [e for e in endpoints().values() if e.path.startswith(API) and "{pk}" in e.path and e.noun not in NO_PROJECTS]
LISTS = [e for e in endpoints().values() if e.action == "list" and e.noun not in NO_PROJECTS]
CHANGES = ["POST", "PUT", "PATCH", "DELETE"]


@pytest.fixture(scope="module")
def worlds(shared_rows: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, World]:
    folder = tmp_path_factory.mktemp("worlds")
    return {name: make_world(folder, name) for name in ("elsewhere", "here")}


@pytest.fixture
def theirs(worlds: dict[str, World]) -> World:
    return copy.deepcopy(worlds["elsewhere"])


@pytest.fixture
def ours(worlds: dict[str, World]) -> World:
    return copy.deepcopy(worlds["here"])


@pytest.fixture
def limited(ours: World) -> Client:
    user = make_user(Role.ADMIN, username="limited")
    limit_access(user, project_ids=[ours.project.pk], actor=ACTOR)
    client = Client()
    client.force_login(user)
    return client


def ask(client: Client, method: str, url: str, body: Any = None, **more: Any) -> Any:
    return client.generic(method, url, json.dumps({} if body is None else body), "application/json", **more)


def told(answer: Any, *ids: int) -> tuple[int, str]:
    """Return what an answer says, whatever id it was about."""
    said = answer.json() if answer.content else {}
    text = json.dumps({name: said[name] for name in said if name not in ("instance", "trace_id")})
    for id_ in ids:
        text = re.sub(rf"\b{id_}\b", "ID", text)
    return answer.status_code, text


def database() -> str:
    """Return all rows of ours."""
    models = [model for app in settings.OUR_APPS for model in apps.get_app_config(app).get_models()]
    rows = [row for model in models if model not in KEPT_ASIDE for row in model._default_manager.order_by("pk")]
    return str(serializers.serialize("json", rows))


def by_path(found: list[Endpoint]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("endpoint", found, ids=[endpoint.path.removeprefix(API) for endpoint in found])


@by_path([endpoint for endpoint in ROWS if endpoint.action])
def test_a_row_elsewhere_is_not_found(endpoint: Endpoint, limited: Client, ours: World, theirs: World) -> None:
    here, elsewhere = ours.ids[endpoint.noun], theirs.ids[endpoint.noun]
    assert ask(limited, "GET", endpoint.url(pk=here)).status_code == 200
    refused, missing = (ask(limited, "GET", endpoint.url(pk=id_)) for id_ in (elsewhere, MISSING))
    assert refused.status_code == 404
    assert told(refused) == told(missing)


@by_path(ROWS)
def test_a_row_elsewhere_is_not_changed(endpoint: Endpoint, limited: Client, theirs: World) -> None:
    before = database()
    for method in CHANGES:
        elsewhere, missing = (
            ask(limited, method, endpoint.url(pk=id_)) for id_ in (theirs.ids[endpoint.noun], MISSING)
        )
        assert elsewhere.status_code in (404, 405)
        assert told(elsewhere) == told(missing)
    assert database() == before


@by_path(LISTS)
def test_a_list_holds_nothing_from_elsewhere(endpoint: Endpoint, limited: Client, ours: World, theirs: World) -> None:
    expand = ",".join(endpoint.view.expandable)
    order = endpoint.view.ordering_fields[0]
    for query in ("", f"?expand={expand}" if expand else "?limit=200", f"?fields=id&ordering=-{order}"):
        answer = ask(limited, "GET", endpoint.url() + query)
        ids = [row["id"] for row in answer.json()["results"]]
        assert ours.ids[endpoint.noun] in ids
        assert theirs.ids[endpoint.noun] not in ids
        assert theirs.name not in answer.content.decode()


@by_path(LISTS)
def test_no_filter_finds_anything_elsewhere(endpoint: Endpoint, limited: Client, theirs: World) -> None:
    named = {"project": theirs.project.pk, "task": theirs.busy.pk, "run": theirs.run.pk, "agent": theirs.agent.pk}
    named |= {"assignee": theirs.agent.pk, "parent": theirs.parent.pk, "blocked_by": theirs.parent.pk}
    named |= {"depends_on": theirs.parent.pk, "document": theirs.document.pk}
    filters = endpoint.view.filterset_class.base_filters
    for name in [name for name, found in filters.items() if isinstance(found, IdFilter) and name != "after"]:
        answer = ask(limited, "GET", f"{endpoint.url()}?{name}={named[name]}")
        assert (answer.status_code, answer.json()["results"]) == (200, []), name


@dataclass(frozen=True)
class Case:
    """A field of a body that takes an id, in a request that is accepted with an id of the project one may see."""

    serializer: str
    field: str
    method: str
    path: str
    body: Callable[[World, int], Any]
    """Of the project one may see, and the id in question."""
    id: Callable[[World], int]
    accepted: int = 200

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.field} ({self.serializer})"

    def send(self, client: Client, ours: World, id_: int, **more: Any) -> Any:
        ids = {"pk": ours.task.pk, "command": "pause"}
        return ask(client, self.method, f"/{API}{self.path}".format(**ids), self.body(ours, id_), **more)


def _project(world: World) -> int:
    return world.project.pk


def _agent(world: World) -> int:
    return world.agent.pk


def _task(world: World) -> int:
    return world.task.pk


def _busy(world: World) -> int:
    return world.busy.pk


def _draft(**fields: Any) -> Callable[[World, int], Any]:
    """Return a bulk request in which the id stands where "ID" is written."""

    def body(ours: World, id_: int) -> Any:
        filled = json.loads(json.dumps(fields).replace('"ID"', str(id_)))
        return {"project": ours.project.pk, "tasks": [{"title": "x", **filled}]}

    return body


def _told(**fields: Any) -> Callable[[World, int], Any]:
    """Return an entry for the event log in which the id stands where "ID" is written."""

    def body(ours: World, id_: int) -> Any:
        filled = json.dumps(fields).replace('"ID"', str(id_)).replace('"OWN"', str(ours.project.pk))
        return {"events": [json.loads(filled)]}

    return body


CASES = [
    Case("AgentSerializer", "project", "POST", "agents", lambda o, i: {"project": i, "name": "x", "provider": "noop"}, _project, 201),
    Case("DocumentSerializer", "project", "POST", "documents", lambda o, i: {"project": i, "path": "x", "title": "x"}, _project, 201),
    Case("TaskCreateSerializer", "project", "POST", "tasks", lambda o, i: {"project": i, "title": "x"}, _project, 201),
    Case("TaskCreateSerializer", "assignee", "POST", "tasks", lambda o, i: {"project": _project(o), "title": "x", "assignee": i}, _agent, 201),
    Case("TaskCreateSerializer", "parent", "POST", "tasks", lambda o, i: {"project": _project(o), "title": "x", "parent": i}, _task, 201),
    Case("TaskCreateSerializer", "depends_on", "POST", "tasks", lambda o, i: {"project": _project(o), "title": "x", "depends_on": [i]}, _task, 201),
    Case("TaskChangesSerializer", "assignee", "PATCH", "tasks/{pk}", lambda o, i: {"assignee": i}, _agent),
    Case("TaskChangesSerializer", "parent", "PATCH", "tasks/{pk}", lambda o, i: {"parent": i}, _busy),
    Case("TaskChangesSerializer", "depends_on", "PATCH", "tasks/{pk}", lambda o, i: {"depends_on": [i]}, _busy),
    Case("BulkSerializer", "project", "POST", "tasks/bulk", lambda o, i: {"project": i, "tasks": [{"title": "x"}]}, _project, 201),
    Case("DraftSerializer", "assignee", "POST", "tasks/bulk", _draft(assignee="ID"), _agent, 201),
    Case("DraftSerializer", "parent", "POST", "tasks/bulk", _draft(parent="ID"), _task, 201),
    Case("DraftSerializer", "depends_on", "POST", "tasks/bulk", _draft(depends_on=["ID"]), _task, 201),
    Case("RunRequestSerializer", "agent", "POST", "tasks/{pk}/run", lambda o, i: {"agent": i}, _agent, 409),
    Case("BroadcastSerializer", "agent", "POST", "tasks/broadcast/{command}", lambda o, i: {"agent": i}, _agent),
    Case("BroadcastSerializer", "project", "POST", "tasks/broadcast/{command}", lambda o, i: {"project": i}, _project),
    Case("DependencySerializer", "task", "POST", "dependencies", lambda o, i: {"task": i, "depends_on": o.busy.pk}, _task, 201),
    Case("DependencySerializer", "depends_on", "POST", "dependencies", lambda o, i: {"task": o.task.pk, "depends_on": i}, _busy, 201),
    Case("CommentSerializer", "task", "POST", "comments", lambda o, i: {"task": i, "body": "x"}, _task, 201),
    Case("CommentSerializer", "document", "POST", "comments", lambda o, i: {"document": i, "body": "x"}, lambda w: w.document.pk, 201),
    Case("CommentSerializer", "run", "POST", "comments", lambda o, i: {"task": o.busy.pk, "run": i, "body": "x"}, lambda w: w.run.pk, 201),
    Case("RunLogEntrySerializer", "run", "POST", "events", _told(type="run.log", run="ID", epoch=1, text="x"), lambda w: w.run.pk, 201),
    Case("RunProgressEntrySerializer", "run", "POST", "events", _told(type="run.progress", run="ID", epoch=1, text="x"), lambda w: w.run.pk, 201),
    Case("AlertEntrySerializer", "project", "POST", "events", _told(type="alert.raised", project="ID", kind="x", message="x"), _project, 201),
    Case("AlertEntrySerializer", "task", "POST", "events", _told(type="alert.raised", project="OWN", task="ID", kind="x", message="x"), _task, 201),
    Case("AlertEntrySerializer", "run", "POST", "events", _told(type="alert.raised", project="OWN", run="ID", kind="x", message="x"), lambda w: w.run.pk, 201),
    Case("LoadProbeEntrySerializer", "project", "POST", "events", _told(type="load.probe", project="ID", test="x", number=0), _project, 201),
    Case("TokenRequestSerializer", "project_ids", "POST", "tokens", lambda o, i: {"name": "x", "scopes": ["read"], "project_ids": [i]}, _project, 201),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_id_from_elsewhere_is_refused_like_one_that_nothing_has(
    case: Case, limited: Client, ours: World, theirs: World
) -> None:
    elsewhere, before = case.id(theirs), database()
    refused, missing = case.send(limited, ours, elsewhere), case.send(limited, ours, MISSING)
    assert refused.status_code in (400, 403)
    assert told(refused, elsewhere) == told(missing, MISSING)
    assert theirs.name not in refused.content.decode()
    assert database() == before


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_id_of_ones_own_project_is_accepted(case: Case, limited: Client, ours: World) -> None:
    answer = case.send(limited, ours, case.id(ours))
    assert answer.status_code == case.accepted, answer.content


def test_every_field_that_takes_an_id_has_a_case() -> None:
    known = {(case.serializer, case.field) for case in CASES}
    assert {named for serializer in _kinds(StrictSerializer) for named in _relations(serializer)} - known == set()


def _kinds(cls: type[Any]) -> Iterator[type[Any]]:
    for found in cls.__subclasses__():
        yield found
        yield from _kinds(found)


def _relations(serializer: type[Any]) -> Iterator[tuple[str, str]]:
    """Return the fields of a body that take the id of a row."""
    if ".tests." in serializer.__module__:
        return
    if hasattr(serializer, "Meta") and not hasattr(serializer.Meta, "model"):
        return
    for name, field in serializer().fields.items():
        if _takes_row(field) and serializer.__name__ not in BASES:
            yield serializer.__name__, name


def _takes_row(field: Field[Any, Any, Any, Any]) -> bool:
    return isinstance(field, RowField | RowsField) and not field.read_only


# No endpoint takes these themselves; those that extend them do.
BASES = {"TaskFieldsSerializer", "TaskSerializer", "_RunEntrySerializer"}


@pytest.mark.parametrize("command", list(COMMANDS))
def test_a_broadcast_reaches_nothing_elsewhere(command: str, limited: Client, ours: World, theirs: World) -> None:
    before = database()
    body = {"ids": [theirs.task.pk, MISSING], "expected_versions": {str(theirs.task.pk): 1}}
    body |= {"changes": "x"} if command == "request-changes" else {}
    results = ask(limited, "POST", f"/{API}tasks/broadcast/{command}", body).json()["results"]
    assert [(told["outcome"], told["code"], told["status"]) for told in results] == [("refused", "not_found", None)] * 2
    assert database() == before


def test_a_broadcast_by_status_keeps_to_ones_projects(limited: Client, ours: World, theirs: World) -> None:
    answer = ask(limited, "POST", f"/{API}tasks/broadcast/pause", {"statuses": ["todo", "running"]})
    reached = {told["task"] for told in answer.json()["results"]}
    assert reached == {ours.task.pk, ours.parent.pk, ours.busy.pk}


def test_what_is_said_about_all_projects_is_not_for_those_who_see_some(
    limited: Client, ours: World, theirs: World
) -> None:
    body = {"name": "x", "root_path": theirs.project.root_path}
    assert ask(limited, "POST", f"/{API}projects", body).json()["code"] == "outside_access"
    for change in ({"slug": theirs.project.slug}, {"slug": "free"}, {"root_path": theirs.project.root_path}):
        answer = ask(limited, "PATCH", f"/{API}projects/{ours.project.pk}", change)
        assert (answer.status_code, answer.json()["code"]) == (403, "outside_access")


def test_a_stored_answer_is_not_shown_to_a_token_that_sees_less(ours: World, theirs: World) -> None:
    user = make_user(Role.ADMIN)
    answers = []
    for projects in (None, [ours.project.pk]):
        _, text = make_token(user, project_ids=projects)
        more = {"HTTP_AUTHORIZATION": f"Bearer {text}", "HTTP_IDEMPOTENCY_KEY": "once"}
        answers.append(ask(Client(), "POST", f"/{API}tasks/{theirs.task.pk}/pause", **more))
    assert (answers[0].status_code, theirs.name in answers[0].content.decode()) == (200, True)
    assert answers[1].status_code in (404, 422) and theirs.name not in answers[1].content.decode()


def test_other_peoples_tokens_are_not_theirs_to_see(limited: Client, ours: World) -> None:
    token, _ = make_token(make_user(Role.VIEWER), project_ids=[ours.project.pk])
    assert ask(limited, "GET", f"/{API}tokens").json()["results"] == []
    assert ask(limited, "DELETE", f"/{API}tokens/{token.pk}").status_code == 404
    assert ApiToken.objects.get().revoked_at is None
