from __future__ import annotations

import socket
from typing import Any

import pytest

from beebeebrain.cli.errors import ExitCode
from beebeebrain.tests.cli.program import Bbb, Result
from beebeebrain.tests.cli.servers import Answer, BadDay, serving

TASK = {"id": 7, "key": "task-7", "title": "Write it", "status": "todo", "is_held": False, "unmet_dependencies": 0}
DROPPED = Answer()


def problem(status: int, code: str, **more: Any) -> Answer:
    body = {"status": status, "code": code, "detail": f"It is {code}.", "trace_id": "t-1", "errors": [], **more}
    return Answer(status, body, {"Content-Type": "application/problem+json"})


def call(bbb: Bbb, day: BadDay, *words: str) -> Result:
    return bbb(*words, BBB_URL=day.url, BBB_TOKEN="bbb_12345678")


@pytest.mark.parametrize(
    "bad", [DROPPED, Answer(503, {}, {"Retry-After": "0"}), Answer(502, text="<html>"), Answer(429, {})]
)
def test_a_command_is_sent_again_with_the_same_key(stranger: Bbb, bad: Answer) -> None:
    with serving(bad, bad, Answer(200, TASK)) as day:
        assert call(stranger, day, "pause", "7").code == 0
        assert (len(day.asked), len(set(day.keys()))) == (3, 1)
        assert day.keys()[0]


def test_each_command_has_a_key_of_its_own(stranger: Bbb) -> None:
    with serving(Answer(200, TASK)) as day:
        call(stranger, day, "pause", "7")
        call(stranger, day, "pause", "7")
        assert len(set(day.keys())) == 2


def test_a_command_under_way_is_waited_for(stranger: Bbb) -> None:
    busy = problem(409, "idempotency_key_in_use")
    with serving(Answer(409, busy.body, {"Retry-After": "0"}), Answer(200, TASK)) as day:
        assert call(stranger, day, "pause", "7").code == 0


def test_a_conflict_is_not_sent_again(stranger: Bbb) -> None:
    with serving(problem(409, "invalid_transition", data={"status": "done"})) as day:
        done = call(stranger, day, "pause", "7")
        assert (done.code, len(day.asked)) == (ExitCode.CONFLICT, 1)
        assert done.err == "Error: It is invalid_transition.\n  code invalid_transition · status done · trace t-1\n"


def test_a_change_that_may_have_been_made_is_not_sent_again(stranger: Bbb) -> None:
    with serving(DROPPED) as day:
        assert call(stranger, day, "tasks", "edit", "7", "--title", "New").code == ExitCode.UNAVAILABLE
        assert len(day.asked) == 1


def test_a_change_that_was_not_made_is_sent_again(stranger: Bbb) -> None:
    with serving(problem(503, "unavailable"), Answer(200, TASK)) as day:
        assert call(stranger, day, "tasks", "edit", "7", "--title", "New", "--json").code == 0


def test_a_server_is_not_asked_for_ever(stranger: Bbb) -> None:
    with serving(problem(503, "unavailable")) as day:
        done = call(stranger, day, "whoami")
        assert (done.code, len(day.asked), "code unavailable" in done.err) == (ExitCode.UNAVAILABLE, 4, True)


def test_a_server_that_wants_too_much_patience_is_not_waited_for(stranger: Bbb) -> None:
    slow = problem(429, "throttled")
    with serving(Answer(429, slow.body, {"Retry-After": "3600"})) as day:
        assert (call(stranger, day, "whoami").code, len(day.asked)) == (ExitCode.UNAVAILABLE, 1)


def test_a_server_that_is_not_there_is_told_in_one_sentence(stranger: Bbb) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = stranger("whoami", BBB_URL=f"http://127.0.0.1:{port}", BBB_TOKEN="bbb_12345678")
    assert (done.code, "does not answer" in done.err, "Traceback" in done.err) == (ExitCode.UNAVAILABLE, True, False)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, ExitCode.REFUSED),
        (401, ExitCode.NOT_ALLOWED),
        (403, ExitCode.NOT_ALLOWED),
        (404, ExitCode.NOT_FOUND),
        (405, ExitCode.REFUSED),
        (409, ExitCode.CONFLICT),
        (412, ExitCode.CONFLICT),
        (422, ExitCode.REFUSED),
        (500, ExitCode.UNAVAILABLE),
    ],
)
def test_a_refusal_has_its_exit_status(stranger: Bbb, status: int, code: ExitCode) -> None:
    with serving(problem(status, "some_code")) as day:
        assert call(stranger, day, "whoami", "--json").error == (code, "some_code")


def test_several_errors_are_all_told(stranger: Bbb) -> None:
    errors = [
        {"code": "blank", "detail": "May not be blank.", "pointer": "/title"},
        {"code": "invalid", "detail": "No such choice.", "parameter": "status"},
    ]
    with serving(problem(400, "invalid_request", errors=errors)) as day:
        told = call(stranger, day, "whoami").err
    assert "/title: May not be blank." in told
    assert "status: No such choice." in told


@pytest.mark.parametrize("status", [200, 404])
def test_another_server_is_recognised(stranger: Bbb, status: int) -> None:
    with serving(Answer(status, text="<html>Hello</html>")) as day:
        done = call(stranger, day, "whoami")
    assert done.code != 0
    assert "no answer of BeeBeeBrain" in done.err


def test_a_failure_without_words_points_at_the_log(stranger: Bbb) -> None:
    with serving(Answer(500, text="<html>Server Error (500)</html>")) as day:
        done = call(stranger, day, "whoami")
    assert (done.code, "The server's log says why." in done.err) == (ExitCode.UNAVAILABLE, True)


def test_a_redirection_is_not_followed_with_the_token(stranger: Bbb) -> None:
    with serving(Answer(200, {})) as elsewhere, serving(Answer(302, {}, {"Location": elsewhere.url})) as day:
        done = call(stranger, day, "whoami")
        assert (done.code, elsewhere.asked) == (ExitCode.REFUSED, [])
        assert elsewhere.url in done.err


def test_the_next_page_is_asked_of_the_same_server(stranger: Bbb) -> None:
    first = {"next": "https://elsewhere.invalid/api/v1/runs?cursor=abc&limit=200", "results": [{"id": 1}]}
    with serving(Answer(200, first), Answer(200, {"next": None, "results": [{"id": 2}]})) as day:
        assert call(stranger, day, "runs", "list", "--all", "--json").json == [{"id": 1}, {"id": 2}]
        assert "cursor=abc" in day.asked[1][1]


def test_what_is_sent_names_who_and_for_what(stranger: Bbb) -> None:
    with serving(Answer(200, TASK)) as day:
        call(stranger, day, "pause", "7")
    method, path, headers = day.asked[0]
    assert (method, path, headers["authorization"]) == ("POST", "/api/v1/tasks/7/pause", "Bearer bbb_12345678")
    assert headers["user-agent"].startswith("bbb/")


def test_a_proxy_is_not_asked_for_this_machine(stranger: Bbb) -> None:
    with serving(Answer(200, TASK)) as day:
        done = stranger("pause", "7", BBB_URL=day.url, BBB_TOKEN="bbb_12345678", HTTP_PROXY="http://127.0.0.1:9")
    assert done.code == 0, done.err
