"""The lines of all runs: what can be asked of them, and that an index answers each question, however many there are."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from events.states import Level
from orchestration.models import Agent, Project
from orchestration.tests.clients import Client
from orchestration.tests.factories import make_agent, make_project, make_task
from runtime.loudness import level_of
from runtime.models import RunLog, TaskRun
from runtime.states import LogKind
from runtime.tests.factories import running
from security.roles import Role
from security.services import limit_access
from security.tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    return Client(Role.VIEWER)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo")


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=9)


@pytest.fixture
def run(project: Project, agent: Agent) -> TaskRun:
    return running(make_task(project), agent)


@pytest.fixture
def other(tmp_path: Path) -> TaskRun:
    """A run of another project."""
    project = make_project(tmp_path / "other", name="Zoo")
    return running(make_task(project), make_agent(project))


def say(run: TaskRun, text: str = "", kind: str = LogKind.TEXT, *, ago: timedelta = timedelta(), **body: Any) -> int:
    seq = run.lines.count() + 1
    line = RunLog.of(run, seq=seq, at=timezone.now() - ago, kind=kind, body={"text": text, **body})
    line.save()
    return line.pk


def ids(client: Client, **query: Any) -> list[int]:
    answer = client.get("/logs", **query)
    assert answer.status_code == 200, answer.json()
    return [line["id"] for line in answer.json()["results"]]


def test_lines_of_all_runs_come_newest_first(client: Client, run: TaskRun, other: TaskRun) -> None:
    said = [say(run), say(other), say(run)]
    assert ids(client) == said[::-1]
    assert ids(client, ordering="at") == said


def test_a_line_says_whose_it_is(client: Client, run: TaskRun) -> None:
    pk = say(run, "Oh no.", LogKind.STDERR)
    found = client.get(f"/logs/{pk}").json()
    place = {"run": run.pk, "project_id": run.task.project_id, "agent_id": run.agent_id, "seq": 1}
    assert (
        found == {"id": pk, "at": found["at"], "kind": "stderr", "level": "error", "body": {"text": "Oh no."}} | place
    )


def test_it_is_narrowed_to_a_place(client: Client, run: TaskRun, other: TaskRun) -> None:
    said = [say(run), say(run)]
    say(other)
    task = run.task
    for place in (
        {"run": run.pk},
        {"task": task.pk},
        {"trace_id": run.trace_id},
        {"project": task.project_id},
        {"agent": run.agent_id},
    ):
        assert ids(client, **place) == said[::-1], place
        assert ids(client, ordering="at", **place) == said, place


def test_a_place_without_lines_has_none(client: Client, run: TaskRun) -> None:
    say(run)
    for place in ("run", "task", "project", "agent", "trace_id"):
        assert ids(client, **{place: 10**6}) == []


@pytest.mark.parametrize("ordering", ["at", "-at"])
@pytest.mark.parametrize("place", ["everywhere", "task", "project"])
def test_pages_hold_every_line_once(client: Client, run: TaskRun, place: str, ordering: str) -> None:
    said = [say(run) for _ in range(5)]
    query = {"everywhere": {}, "task": {"task": run.task_id}, "project": {"project": run.task.project_id}}[place]
    page = client.get("/logs", limit=2, ordering=ordering, **query).json()
    found = [line["id"] for line in page["results"]]
    while page["next"]:
        page = client.get(page["next"].partition("/api/v1")[2]).json()
        assert "results" in page, page["errors"]
        found += [line["id"] for line in page["results"]]
    assert found == (said if ordering == "at" else said[::-1])


@pytest.mark.parametrize(
    ("kind", "body", "level"),
    [
        ("text", {"text": "I begin."}, Level.INFO),
        ("thinking", {"text": "Hm."}, Level.DEBUG),
        ("system", {"type": "usage"}, Level.DEBUG),
        ("system", {"type": "check", "exit_code": 0}, Level.INFO),
        ("system", {"type": "check", "exit_code": 3}, Level.WARNING),
        ("system", {"type": "permission_denied"}, Level.WARNING),
        ("tool_result", {"is_error": False}, Level.INFO),
        ("tool_result", {"is_error": True}, Level.WARNING),
        ("stderr", {"text": "Oh no."}, Level.ERROR),
        ("text", "no object", Level.INFO),
    ],
)
def test_the_level_of_a_line_follows_from_what_it_says(kind: str, body: Any, level: Level) -> None:
    assert level_of(kind, body) == level


def test_only_what_is_at_least_so_loud(client: Client, run: TaskRun) -> None:
    say(run)
    warned = say(run, "No such file.", LogKind.TOOL_RESULT, is_error=True)
    failed = say(run, "Oh no.", LogKind.STDERR)
    assert ids(client, level="warning") == [failed, warned]
    assert ids(client, level="error") == ids(client, kind="stderr") == [failed]


def test_only_lines_of_a_kind(client: Client, run: TaskRun) -> None:
    said, thought = say(run), say(run, kind=LogKind.THINKING)
    assert ids(client, run=run.pk, kind="thinking") == [thought]
    assert ids(client, run=run.pk, kind=["thinking", "text"]) == [thought, said]


def test_only_what_was_said_in_between(client: Client, run: TaskRun) -> None:
    old, middle, _ = (say(run, ago=timedelta(hours=hours)) for hours in (3, 2, 1))
    since, until = ((timezone.now() - timedelta(hours=hours)).isoformat() for hours in (2.5, 1.5))
    assert ids(client, since=since, until=until) == [middle]
    assert ids(client, run=run.pk, until=since) == [old]


def test_what_a_line_says_is_found(client: Client, run: TaskRun) -> None:
    since = (timezone.now() - timedelta(hours=23)).isoformat()
    say(run, "nothing of it")
    for text in ("honey", "\u00fcber", 'a "quoted"', "50 %", "new\nline", "\U0001f41d"):
        said = say(run, f"Some {text} in it")
        assert ids(client, run=run.pk, text=text) == ids(client, since=since, text=text) == [said]
    assert len(ids(client, run=run.pk, text="HONEY")) == 1


@pytest.mark.parametrize("asked", [{"text": "honey"}, {"kind": "thinking"}])
@pytest.mark.parametrize("place", [{}, {"project": 1, "agent": 1, "level": "warning"}, {"days": 2}])
def test_nothing_is_looked_for_in_all_lines(client: Client, asked: dict[str, Any], place: dict[str, Any]) -> None:
    if days := place.get("days"):
        place = {"since": (timezone.now() - timedelta(days=days)).isoformat()}
    answer = client.get("/logs", **asked, **place)
    assert answer.status_code == 400
    told = answer.json()["errors"][0]
    assert (told["parameter"], told["code"]) == (next(iter(asked)), "search_too_wide")


def test_who_is_limited_to_a_project_reads_its_lines_only(client: Client, run: TaskRun, other: TaskRun) -> None:
    said, hidden = say(run), say(other)
    user = make_user(Role.ADMIN)
    limit_access(user, project_ids=[run.task.project_id], actor="user:owner")
    limited = Client(Role.ADMIN)
    limited._client.force_authenticate(user)
    assert ids(limited) == ids(limited, task=run.task_id) == [said]
    assert ids(limited, run=other.pk) == ids(limited, project=other.task.project_id) == []
    assert limited.get(f"/logs/{hidden}").status_code == 404


@pytest.fixture
def many_lines(run: TaskRun, other: TaskRun) -> None:
    """Of every hundred lines one is loud, and most are of another run, project and agent."""
    at = timezone.now() - timedelta(hours=2)
    for of, share in ((other, 540), (run, 60)):
        RunLog.objects.bulk_create(
            RunLog.of(
                of,
                seq=number,
                at=at + timedelta(seconds=number),
                kind=LogKind.STDERR if number % 50 == 0 else LogKind.TEXT,
                body={"text": "honey"},
            )
            for number in range(1, share + 1)
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE runtime_runlog")
        if connection.vendor == "postgresql":
            # As of a table that is too long to be read or sorted.
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
            cursor.execute("SET LOCAL enable_bitmapscan = off")


def plan_of(client: Client, query: dict[str, Any]) -> str:
    """Return how the database reads a page."""
    with CaptureQueriesContext(connection) as captured:
        assert client.get("/logs", **query).status_code == 200
    selects = [each["sql"] for each in captured if 'FROM "runtime_runlog"' in each["sql"]]
    explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
    with connection.cursor() as cursor:
        cursor.execute(f"{explain} {selects[-1]}")
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


PLANS: list[tuple[dict[str, Any], str]] = [
    ({}, "run_log_at"),
    ({"since": "2026-01-01T00:00:00Z", "until": "2099-01-01T00:00:00Z"}, "run_log_at"),
    ({"project": True}, "run_log_project"),
    ({"project": True, "since": "2026-01-01T00:00:00Z"}, "run_log_project"),
    ({"agent": True}, "run_log_agent"),
    ({"level": "warning"}, "run_log_loud"),
    ({"level": "error"}, "run_log_loud"),
    ({"kind": "stderr"}, "run_log_loud"),
    ({"project": True, "level": "warning"}, "run_log_project_loud"),
    ({"run": True}, "run_log_line_once"),
    ({"run": True, "text": "honey"}, "run_log_line_once"),
    ({"task": True}, "run_log_line_once"),
    ({"trace_id": True}, "run_log_line_once"),
]


@pytest.mark.parametrize("ordering", ["at", "-at"])
def test_an_index_answers_every_question_without_sorting(
    client: Client, run: TaskRun, many_lines: None, ordering: str
) -> None:
    place = {"project": run.task.project_id, "agent": run.agent_id, "run": run.pk, "task": run.task_id}
    known: dict[str, Any] = place | {"trace_id": run.trace_id}
    for asked, index in PLANS:
        query = {name: known[name] if given is True else given for name, given in asked.items()}
        plan = plan_of(client, query | {"ordering": ordering, "limit": 9})
        by_constraint = "|INDEX sqlite_autoindex_runtime_runlog" if index == "run_log_line_once" else ""
        assert re.search(rf"(INDEX|using) {index}\b{by_constraint}", plan), (asked, plan)
        assert not re.search(r"TEMP B-TREE|(?<!Incremental )Sort  ", plan), (asked, plan)
