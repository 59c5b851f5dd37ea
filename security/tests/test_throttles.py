from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import Settings

from security import denials
from security.roles import Role
from security.tests.factories import denials_on_record, make_token, make_user

pytestmark = pytest.mark.django_db

ME = "/api/v1/me"
# One for all: to start the middleware takes longer than a request.
PROGRAM = Client()
NOON = 1_764_072_000.0


@pytest.fixture(autouse=True)
def limits(settings: Settings) -> None:
    settings.API_PER_MINUTE = 3
    settings.TOKEN_FAILURES_PER_MINUTE = 3


def ask(text: str, *, address: str = "203.0.113.7", path: str = ME) -> Any:
    return PROGRAM.get(path, headers={"Authorization": f"Bearer {text}"}, REMOTE_ADDR=address)


def statuses(text: str, count: int, **more: str) -> list[int]:
    return [ask(text, **more).status_code for _ in range(count)]


def denied() -> list[dict[str, Any]]:
    return [event.payload for event in denials_on_record()]


def test_who_asks_too_often_is_told_when_to_go_on() -> None:
    _, text = make_token(make_user(Role.VIEWER))
    with time_machine.travel(NOON + 20, tick=False) as now:
        assert statuses(text, 3) == [200] * 3
        refused = ask(text)
        assert (refused.status_code, refused["Retry-After"]) == (429, "40")
        assert refused["Content-Type"] == "application/problem+json"
        assert (refused.json()["code"], refused.json()["status"]) == ("throttled", 429)
        assert refused.json()["detail"].endswith("Try again in 40 seconds.")
        now.shift(40)
        assert ask(text).status_code == 200


def test_reads_and_writes_count_together() -> None:
    _, text = make_token(make_user(Role.OPERATOR))
    headers = {"Authorization": f"Bearer {text}"}
    answers = [PROGRAM.post("/api/v1/comments", {}, "application/json", headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [400] * 3
    assert ask(text).status_code == 429


def test_each_token_counts_for_itself() -> None:
    user = make_user(Role.VIEWER)
    (_, one), (_, two) = make_token(user), make_token(user)
    assert statuses(one, 4)[-1] == 429
    assert ask(two).status_code == 200


def test_a_user_without_a_token_counts_over_all_sessions() -> None:
    user, other = make_user(Role.VIEWER), make_user(Role.VIEWER)
    client, answers = Client(), []
    for person in (user, user, user, user, other):
        client.force_login(person)
        answers.append(client.get(ME).status_code)
    assert answers == [200, 200, 200, 429, 200]


def test_nought_means_no_limit(settings: Settings) -> None:
    settings.API_PER_MINUTE = settings.TOKEN_FAILURES_PER_MINUTE = 0
    _, text = make_token(make_user(Role.VIEWER))
    assert set(statuses(text, 20)) == {200}
    assert set(statuses("bbb_nonsense", 20)) == {401}


def test_the_limit_asks_the_database_nothing(settings: Settings) -> None:
    _, text = make_token(make_user(Role.VIEWER))
    ask(text)
    counted = []
    for limit in (1000, 0):
        settings.API_PER_MINUTE = limit
        with CaptureQueriesContext(connection) as queries:
            ask(text)
        counted.append(len(queries))
    assert counted[0] == counted[1]


def test_an_address_that_sends_bad_tokens_is_told_to_wait() -> None:
    with time_machine.travel(NOON + 20, tick=False) as now:
        assert statuses("bbb_nonsense", 3) == [401] * 3
        refused = ask("bbb_other_nonsense")
        assert (refused.status_code, refused["Retry-After"], refused.json()["code"]) == (429, "40", "throttled")
        now.shift(40)
        assert ask("bbb_nonsense").status_code == 401


def test_a_valid_token_is_accepted_from_any_address() -> None:
    _, text = make_token(make_user(Role.VIEWER))
    assert statuses("bbb_nonsense", 4)[-1] == 429
    assert ask(text).status_code == 200


def test_another_address_is_not_to_blame() -> None:
    assert statuses("bbb_nonsense", 4)[-1] == 429
    assert ask("bbb_nonsense", address="203.0.113.8").status_code == 401


def test_a_network_of_ipv6_is_one_address() -> None:
    answers = [ask("bbb_nonsense", address=f"2001:db8::{number}").status_code for number in range(1, 5)]
    assert answers == [401, 401, 401, 429]


def test_what_a_client_says_of_its_address_does_not_help_it() -> None:
    for number in range(4):
        headers = {"Authorization": "Bearer bbb_nonsense", "X-Forwarded-For": f"198.51.100.{number}"}
        answer = PROGRAM.get(ME, headers=headers)
    assert answer.status_code == 429


def test_what_is_no_token_of_ours_is_not_looked_up() -> None:
    with CaptureQueriesContext(connection) as queries:
        assert ask("ghp_of_somebody_else").status_code == 401
    assert len(queries) == 0


def test_many_bad_tokens_are_one_record() -> None:
    statuses("bbb_nonsense", 20)
    assert [(told["action"], told["resource"], told["ip"]) for told in denied()] == [
        ("token.use", "unknown tokens", "203.0.113.7")
    ]


def test_a_few_bad_tokens_are_none() -> None:
    statuses("bbb_nonsense", 3)
    assert denied() == []


def test_a_token_that_is_over_is_recorded_once_with_its_name() -> None:
    past = timezone.now() - timedelta(days=1)
    token, text = make_token(make_user(Role.ADMIN, username="ada"), name="ci", expires_at=past)
    statuses(text, 3)
    (event,) = denials_on_record()
    assert (event.type, event.actor) == ("security.audit.access", "user:ada/token:ci")
    assert event.payload == {
        "action": "token.use",
        "resource": f"ApiToken {token.pk} (ci)",
        "outcome": "denied",
        "reason": "token_expired",
        "ip": "203.0.113.7",
    }


def test_a_refusal_is_recorded_again_after_an_hour() -> None:
    past = timezone.now() - timedelta(days=1)
    with time_machine.travel(NOON, tick=False) as now:
        _, text = make_token(make_user(Role.ADMIN), expires_at=past.replace(year=2000))
        ask(text)
        now.shift(denials.AGAIN_AFTER_S + 1)
        ask(text)
    assert len(denied()) == 2


def test_all_refusals_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denials, "MOST_AN_HOUR", 5)
    for number in range(20):
        denials.note("token.use", "x", actor=f"user:{number}", reason="token_expired", ip="")
    assert len(denied()) == 5
