"""The log of one run over WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.utils import timezone

from events import hub, subscriptions, tail
from events.relay import BAD_QUERY
from events.tests.factories import record
from events.tests.streams import PATIENCE_S, Headers, close_code_of, connected, frame_of, in_database, settle
from events.tests.streams import token_headers as headers_of
from orchestration.tests.factories import make_agent, make_project, make_task
from runtime import logtail
from runtime.consumers import NOT_FOUND
from runtime.models import RunLog, TaskRun
from runtime.routing import websocket_urlpatterns
from runtime.states import RunStatus
from security.roles import Role
from security.services import limit_access, revoke_token
from security.tests.factories import ACTOR, make_token, make_user
from security.websockets import OriginGuard, SessionScope

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.breaks_invariants]

routes: list[Any] = list(websocket_urlpatterns)
application: Any = OriginGuard(SessionScope(URLRouter(routes)))


@pytest_asyncio.fixture(autouse=True)
async def _settled(transactional_db: None) -> AsyncIterator[None]:
    yield
    await settle()


@pytest.fixture
def run(transactional_db: None, tmp_path: Path) -> TaskRun:
    project = make_project(tmp_path / "repo")
    task = make_task(project)
    return TaskRun.objects.create(
        task=task,
        agent=make_agent(project),
        attempt=1,
        epoch=1,
        status=RunStatus.RUNNING,
        owner="scheduler",
        idempotency_key="k",
    )


@pytest.fixture
def viewer(transactional_db: None) -> Headers:
    return headers_of(make_token(make_user(Role.VIEWER))[1])


def say(run: TaskRun, *texts: str, is_told: bool = True) -> list[int]:
    """Have a run say something, as supervision writes it; return the numbers of the lines."""
    run.refresh_from_db()
    numbers = list(range(run.log_seq + 1, run.log_seq + 1 + len(texts)))
    RunLog.objects.bulk_create(
        RunLog(run=run, seq=number, at=timezone.now(), kind="text", body={"text": text})
        for number, text in zip(numbers, texts, strict=True)
    )
    TaskRun.objects.filter(pk=run.pk).update(log_seq=numbers[-1])
    if is_told:
        record(project_id=run.task.project_id, run_id=run.pk)
    return numbers


def finish(run: TaskRun) -> None:
    TaskRun.objects.filter(pk=run.pk).update(status=RunStatus.SUCCEEDED, owner="")
    record(project_id=run.task.project_id, run_id=run.pk)


def looking(run: TaskRun, headers: Headers, query: str = "") -> Any:
    return connected(query, headers, application=application, path=f"/ws/runs/{run.pk}/logs/")


async def seqs_of(stream: WebsocketCommunicator, count: int) -> list[int]:
    return [(await frame_of(stream))["seq"] for _ in range(count)]


async def test_a_line_comes_as_the_api_shows_it(run: TaskRun, viewer: Headers) -> None:
    await in_database(say, run, "\x1b[31mred\x1b[0m 蜂")
    async with looking(run, viewer) as stream:
        hello = await frame_of(stream)
        assert (hello["type"], hello["run"], hello["seq"], hello["status"]) == ("hello", run.pk, 1, "running")
        frame = await frame_of(stream)
        at = (await in_database(RunLog.objects.get)).at.isoformat()
        body = {"text": "\x1b[31mred\x1b[0m 蜂"}
        assert frame == {"type": "line", "seq": 1, "at": at, "kind": "text", "body": body}


async def test_backlog_and_live_meet_without_gap_or_double(run: TaskRun, viewer: Headers) -> None:
    await in_database(say, run, *"abc")
    async with looking(run, viewer) as stream:
        await in_database(say, run, *"de")
        await frame_of(stream)
        assert await seqs_of(stream, 5) == [1, 2, 3, 4, 5]
        await in_database(say, run, "f")
        assert await seqs_of(stream, 1) == [6]


@pytest.mark.parametrize(
    ("query", "first"), [("after=2", 3), ("tail=2", 4), ("after=1&tail=9", 2), ("after=4&tail=3", 5), ("after=99", 6)]
)
async def test_a_viewer_begins_where_it_asks_to(run: TaskRun, viewer: Headers, query: str, first: int) -> None:
    await in_database(say, run, *"abcde")
    async with looking(run, viewer, query) as stream:
        await frame_of(stream)
        await in_database(say, run, "f")
        assert await seqs_of(stream, 1) == [first]


async def test_who_falls_behind_the_ring_misses_nothing(
    run: TaskRun, viewer: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "RING_SIZE", 2)
    monkeypatch.setattr(logtail, "BATCH", 3)
    async with looking(run, viewer) as stream:
        await frame_of(stream)
        for _ in range(4):
            await in_database(say, run, *"abcde")
        assert await seqs_of(stream, 20) == list(range(1, 21))


async def test_long_lines_are_not_held_together(run: TaskRun, viewer: Headers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "BATCH_CHARACTERS", 10)
    await in_database(say, run, *"abcde")
    async with looking(run, viewer) as stream:
        await frame_of(stream)
        assert await seqs_of(stream, 5) == [1, 2, 3, 4, 5]


async def test_the_end_is_told_behind_the_last_line(run: TaskRun, viewer: Headers) -> None:
    async with looking(run, viewer) as stream:
        await frame_of(stream)
        await in_database(say, run, "last", is_told=False)
        await in_database(finish, run)
        assert await seqs_of(stream, 1) == [1]
        assert await frame_of(stream) == {"type": "end", "seq": 1, "status": "succeeded"}
        assert await close_code_of(stream) == 1000


async def test_a_run_that_is_over_is_told_to_its_end(run: TaskRun, viewer: Headers) -> None:
    await in_database(say, run, *"ab")
    await in_database(finish, run)
    async with looking(run, viewer, "tail=1") as stream:
        told = [await frame_of(stream) for _ in range(3)]
        assert [frame["type"] for frame in told] == ["hello", "line", "end"]
        assert await close_code_of(stream) == 1000


async def test_lines_of_which_no_event_tells_are_found_all_the_same(
    run: TaskRun, viewer: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logtail, "POLL_S", 0.05)
    async with looking(run, viewer) as stream:
        await frame_of(stream)
        await in_database(say, run, "quiet", is_told=False)
        assert await seqs_of(stream, 1) == [1]


async def test_one_reader_reads_for_all_who_look(run: TaskRun, viewer: Headers) -> None:
    async with looking(run, viewer) as one, looking(run, viewer) as two:
        await frame_of(one), await frame_of(two)
        assert len(logtail._tails) == 1
        await in_database(say, run, *"ab")
        assert await seqs_of(one, 2) == await seqs_of(two, 2) == [1, 2]
    assert logtail._tails == {}


async def test_a_quiet_log_beats(run: TaskRun, viewer: Headers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HEARTBEAT_S", 0.05)
    await in_database(say, run, "a")
    async with looking(run, viewer, "after=1") as stream:
        await frame_of(stream)
        for _ in range(2):
            assert await stream.receive_json_from(PATIENCE_S) == {"type": "heartbeat", "seq": 1}


@pytest.mark.parametrize("query", ["after=x", "tail=-1", "nonsense=1", "tail=1&tail=2"])
async def test_a_query_that_means_nothing_is_refused(run: TaskRun, viewer: Headers, query: str) -> None:
    async with looking(run, viewer, query) as stream:
        assert (await frame_of(stream))["code"] == "bad_query"
        assert await close_code_of(stream) == BAD_QUERY


async def test_a_run_of_another_project_is_not_there(run: TaskRun) -> None:
    elsewhere = run.task.project_id + 1
    _, text = await in_database(lambda: make_token(make_user(Role.VIEWER), project_ids=[elsewhere]))
    async with looking(run, headers_of(text)) as stream:
        assert (await frame_of(stream))["code"] == "not_found"
        assert await close_code_of(stream) == NOT_FOUND


async def test_a_run_that_is_none_is_not_there(run: TaskRun, viewer: Headers) -> None:
    run.pk = 10**9
    async with looking(run, viewer) as stream:
        assert await close_code_of_refusal(stream) == NOT_FOUND


async def close_code_of_refusal(stream: WebsocketCommunicator) -> int:
    assert (await frame_of(stream))["type"] == "error"
    return await close_code_of(stream)


async def test_a_stranger_is_refused(run: TaskRun) -> None:
    async with looking(run, headers_of("bbb_" + "x" * 43)) as stream:
        assert (await frame_of(stream))["code"] == "not_authenticated"


async def test_a_revoked_token_ends_it(run: TaskRun) -> None:
    token, text = await in_database(lambda: make_token(make_user(Role.VIEWER)))
    async with looking(run, headers_of(text)) as stream:
        await frame_of(stream)
        await in_database(lambda: revoke_token(token, actor=ACTOR))
        assert (await frame_of(stream))["code"] == "not_authenticated"


async def test_who_loses_the_project_loses_the_log(run: TaskRun) -> None:
    user = await in_database(make_user, Role.VIEWER)
    _, text = await in_database(make_token, user)
    async with looking(run, headers_of(text)) as stream:
        await frame_of(stream)
        await in_database(lambda: limit_access(user, project_ids=[], actor=ACTOR))
        assert await close_code_of_refusal(stream) == NOT_FOUND


async def test_a_run_that_is_deleted_meanwhile_ends(
    run: TaskRun, viewer: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logtail, "POLL_S", 0.05)
    async with looking(run, viewer) as stream:
        await frame_of(stream)
        await in_database(TaskRun.objects.filter(pk=run.pk).delete)
        async with asyncio.timeout(PATIENCE_S):
            assert (await frame_of(stream))["type"] == "end"
