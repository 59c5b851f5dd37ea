"""What outside tools write into the event log: checked, fenced, counted, all of it or nothing."""

from __future__ import annotations

import json
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from rest_framework.test import APIClient

from events.frames import text_of
from events.ingest import MOST, TYPES, Entry, record_entries
from events.models import Event
from events.services import unit_of_work
from events.states import EventType
from orchestration.tests.clients import ROOT
from orchestration.tests.factories import make_agent, make_project, make_task
from runtime.models import RunLog, TaskRun
from runtime.services.finishing import finish_run
from runtime.services.ingesting import ingest_events
from runtime.tests.factories import ending, running
from security.roles import Role
from security.services import limit_access
from security.tests.factories import ACTOR, make_token, make_user

pytestmark = pytest.mark.django_db
URL = f"{ROOT}/events"


@pytest.fixture
def run(tmp_path: Path) -> TaskRun:
    project = make_project(tmp_path / "repo")
    return running(make_task(project), make_agent(project))


@pytest.fixture
def user() -> User:
    return make_user(Role.OPERATOR, username="ci")


@pytest.fixture(autouse=True)
def counted_anew() -> None:
    caches["default"].clear()


def tool(user: User, scope: str = "events", **limits: Any) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_token(user, scope=scope, name='robot', **limits)[1]}")
    return client


def post(client: APIClient, *entries: Any, key: str = "") -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return client.post(URL, {"events": list(entries)}, format="json", headers=headers)


def line(run: TaskRun, **fields: Any) -> dict[str, Any]:
    return {"type": "run.log", "run": run.pk, "epoch": run.epoch, "text": "3 of 214 tests failed", **fields}


def progress(run: TaskRun, **fields: Any) -> dict[str, Any]:
    return {"type": "run.progress", "run": run.pk, "epoch": run.epoch, "text": "half of it", **fields}


def alert(of: TaskRun, /, **fields: Any) -> dict[str, Any]:
    project = of.task.project_id
    return {"type": "alert.raised", "project": project, "kind": "ci_failed", "message": "It fails.", **fields}


def written() -> list[Event]:
    return list(Event.objects.filter(type__in=TYPES).order_by("id"))


def errors(answer: Any) -> list[tuple[str, str | None]]:
    return [(error["code"], error.get("pointer")) for error in answer.json()["errors"]]


def test_entries_are_written_in_their_order_as_what_they_are(run: TaskRun, user: User) -> None:
    answer = post(tool(user), line(run, level="warning", source="ci"), progress(run), alert(run, task=run.task_id))
    assert (answer.status_code, answer.json()) == (201, {"accepted": 3})
    said, got, raised = written()
    assert {(e.project_id, e.task_id, e.actor) for e in (said, got, raised)} == {
        (run.task.project_id, run.task_id, "user:ci/token:robot")
    }
    assert (said.type, said.run_id, said.payload["level"], said.payload["source"]) == (
        "run.log",
        run.pk,
        "warning",
        "ci",
    )
    assert (got.type, got.payload["text"], got.payload["kind"]) == ("run.progress", "half of it", "outside")
    assert (raised.type, raised.run_id, raised.payload["kind"]) == ("alert.raised", None, "ci_failed")
    assert {e.trace_id for e in (said, got, raised)} == {answer.headers["X-Trace-ID"]}


def test_the_runs_own_log_stays_its_writers(run: TaskRun, user: User) -> None:
    before = (run.log_seq, run.version)
    assert post(tool(user), line(run), progress(run)).status_code == 201
    run.refresh_from_db()
    assert (run.log_seq, run.version) == before
    assert not RunLog.objects.exists()


def test_a_run_that_is_told_of_names_its_task_and_project_itself(run: TaskRun, user: User) -> None:
    assert post(tool(user), alert(run, run=run.pk)).status_code == 201
    [event] = written()
    assert (event.task_id, event.run_id) == (run.task_id, run.pk)


@pytest.mark.parametrize("kind", [line, progress])
def test_a_superseded_epoch_is_refused_with_all_that_came_with_it(run: TaskRun, user: User, kind: Any) -> None:
    stale = kind(run)
    TaskRun.objects.update(epoch=F("epoch") + 1)
    answer = post(tool(user), alert(run), stale)
    assert (answer.status_code, answer.json()["code"]) == (409, "stale_run")
    assert errors(answer) == [("stale_run", "/events/1/epoch")]
    assert answer.json()["data"]["epoch"] == run.epoch + 1
    assert written() == []


def test_an_epoch_that_has_not_begun_is_refused(run: TaskRun, user: User) -> None:
    assert post(tool(user), line(run, epoch=run.epoch + 1)).json()["code"] == "stale_run"


def test_a_run_that_has_ended_makes_no_progress_but_may_be_spoken_of(run: TaskRun, user: User) -> None:
    finish_run(run, ending("finished"))
    assert post(tool(user), progress(run)).json()["code"] == "run_not_active"
    assert post(tool(user), line(run)).status_code == 201


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"type": "task.created"}, ("invalid_choice", "/events/1/type")),
        ({"type": None}, ("invalid_choice", "/events/1/type")),
        ({"type": ["run.log"]}, ("invalid_choice", "/events/1/type")),
        ({"level": "loud"}, ("invalid_choice", "/events/1/level")),
        ({"text": ""}, ("blank", "/events/1/text")),
        ({"text": "x" * 4001}, ("max_length", "/events/1/text")),
        ({"text": 7}, ("invalid", "/events/1/text")),
        ({"run": 10**9}, ("does_not_exist", "/events/1/run")),
        ({"run": "1"}, ("invalid", "/events/1/run")),
        ({"run": True}, ("invalid", "/events/1/run")),
        ({"epoch": 2**40}, ("max_value", "/events/1/epoch")),
        ({"trace_id": "a b"}, ("invalid", "/events/1/trace_id")),
        ({"cost_usd": 3}, ("unknown_field", "/events/1/cost_usd")),
    ],
)
def test_what_is_wrong_is_told_by_its_place_and_nothing_is_written(
    run: TaskRun, user: User, change: dict[str, Any], error: tuple[str, str]
) -> None:
    answer = post(tool(user), line(run), line(run) | change)
    assert (answer.status_code, errors(answer)) == (400, [error])
    assert written() == []


def test_each_wrong_entry_is_told(run: TaskRun, user: User) -> None:
    answer = post(tool(user), line(run, text=""), line(run), {}, "text", alert(run, kind="CI failed"))
    assert errors(answer) == [
        ("blank", "/events/0/text"),
        ("required", "/events/2/type"),
        ("not_a_dict", "/events/3"),
        ("invalid", "/events/4/kind"),
    ]


def test_so_many_are_accepted_at_once(run: TaskRun, user: User) -> None:
    assert errors(post(tool(user), *[line(run)] * (MOST + 1))) == [("max_length", "/events")]
    assert errors(post(tool(user))) == [("min_length", "/events")]
    assert post(tool(user), *[line(run)] * MOST).status_code == 201


def nested(levels: int) -> Any:
    return [nested(levels - 1)] if levels else "deep"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("x" * 20_000, "max_length"),
        (nested(32), "max_length"),
        (nested(300), "max_length"),
        ("NUL: \0", "null_characters_not_allowed"),
        ([{"NUL: \0": 1}], "null_characters_not_allowed"),
    ],
    ids=["long", "deep", "deeper", "nul", "nul in a name"],
)
def test_details_are_bounded(run: TaskRun, user: User, value: Any, code: str) -> None:
    assert errors(post(tool(user), alert(run, details={"a": value}))) == [(code, "/events/0/details")]


def test_details_may_hold_what_few_do(run: TaskRun, user: User) -> None:
    details = {"number": 2**70, "nested": nested(31), "text": "no NUL: \\u0000, \U0001f41d"}
    assert post(tool(user), alert(run, details=details)).status_code == 201
    [event] = written()
    assert json.loads(text_of(event.frame()))["payload"]["details"] == details


def test_a_secret_is_masked(run: TaskRun, user: User) -> None:
    key = "sk-ant-api03-" + "a" * 40
    assert post(tool(user), line(run, text=f"key {key}"), alert(run, details={"env": {"API_KEY": "hunter2hunter2"}}))
    assert key not in str([event.payload for event in written()])
    assert "hunter2" not in str([event.payload for event in written()])


def test_rows_of_different_tasks_do_not_go_together(run: TaskRun, user: User, tmp_path: Path) -> None:
    other = make_task(run.task.project)
    elsewhere = make_task(make_project(tmp_path / "other"))
    assert errors(post(tool(user), alert(run, task=other.pk, run=run.pk))) == [("does_not_exist", "/events/0/run")]
    assert errors(post(tool(user), alert(run, task=elsewhere.pk))) == [("does_not_exist", "/events/0/task")]


def test_what_one_may_not_see_is_not_there(run: TaskRun, user: User, tmp_path: Path) -> None:
    other = make_project(tmp_path / "other")
    narrow = tool(user, project_ids=[other.pk])
    assert errors(post(narrow, line(run))) == [("does_not_exist", "/events/0/run")]
    assert errors(post(narrow, alert(run))) == [("does_not_exist", "/events/0/project")]
    limit_access(user, project_ids=[other.pk], actor=ACTOR)
    assert errors(post(tool(user), alert(run))) == [("does_not_exist", "/events/0/project")]


@pytest.mark.parametrize(
    ("role", "scope", "status"),
    [
        (Role.OPERATOR, "events", 201),
        (Role.OPERATOR, "write", 201),
        (Role.OPERATOR, "read", 403),
        (Role.VIEWER, "events", 403),
        (Role.VIEWER, "write", 403),
        (None, "events", 403),
        (Role.ADMIN, "events", 201),
    ],
)
def test_it_takes_an_operator_and_a_scope(run: TaskRun, role: Role | None, scope: str, status: int) -> None:
    answer = post(tool(make_user(role), scope), alert(run))
    assert answer.status_code == status
    assert len(written()) == (status == 201)


def test_the_scope_allows_nothing_else(run: TaskRun, user: User) -> None:
    client = tool(user)
    for path in ("events", "events/cursor", "tasks", f"runs/{run.pk}", "me", "tokens"):
        assert client.get(f"{ROOT}/{path}").status_code == 403, path
    assert client.post(f"{ROOT}/tasks/{run.task_id}/pause", {}, format="json").status_code == 403
    assert client.post(f"{ROOT}/tokens", {"name": "x", "scopes": ["events"]}, format="json").status_code == 403


def test_a_viewer_cannot_give_the_scope() -> None:
    client = APIClient()
    client.force_login(make_user(Role.VIEWER))
    answer = client.post(f"{ROOT}/tokens", {"name": "x", "scopes": ["read", "events"]}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_too_wide")
    client.force_login(make_user(Role.OPERATOR))
    assert client.post(f"{ROOT}/tokens", {"name": "x", "scopes": ["read", "events"]}, format="json").status_code == 201


def test_more_events_than_a_minute_has_are_refused_and_say_when(run: TaskRun, user: User, settings: Settings) -> None:
    settings.EVENTS_PER_MINUTE = 5
    client = tool(user)
    assert post(client, *[line(run)] * 5).status_code == 201
    answer = post(client, line(run))
    assert (answer.status_code, answer.json()["code"]) == (429, "throttled")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert len(written()) == 5
    # Of each token, and of no other request.
    assert post(tool(user), line(run)).status_code == 201


def test_the_same_key_writes_once(run: TaskRun, user: User) -> None:
    key, client = uuid.uuid4().hex, tool(user)
    first, second = (post(client, line(run), key=key) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.headers["Idempotency-Replayed"] == "true"
    assert len(written()) == 1


def test_a_row_that_many_entries_name_is_looked_for_once(run: TaskRun, user: User) -> None:
    client, asked = tool(user), []
    post(client, line(run))
    for number in (1, 50):
        with CaptureQueriesContext(connection) as queries:
            assert post(client, *[line(run)] * number).status_code == 201
        asked.append(len(queries))
    assert asked[0] == asked[1]


def test_no_other_type_comes_in_from_outside() -> None:
    with pytest.raises(ValueError, match="not written from outside"):
        record_entries([Entry(EventType.TASK_DELETED, 1, payload={"id": 1})], actor="user:ci")


@pytest.mark.django_db(transaction=True)
def test_no_later_epoch_begins_until_what_was_said_of_this_one_is_committed(run: TaskRun) -> None:
    begun = threading.Event()

    def begin_anew() -> None:
        TaskRun.objects.filter(pk=run.pk).update(epoch=F("epoch") + 1)
        begun.set()
        connection.close()

    other = threading.Thread(target=begin_anew)
    with unit_of_work():
        ingest_events([line(run) | {"run": run, "level": "info", "source": ""}], actor=ACTOR)
        other.start()
        # It cannot be waited for that nothing happens; without the lock it happens at once.
        assert not begun.wait(0.5)
    other.join(30)
    assert begun.is_set()
    assert Event.objects.filter(type="run.log").count() == 1
