from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from security.models import ApiToken, IdempotentCommand
from security.roles import Role
from security.services import limit_access
from security.tests.factories import ACTOR, make_token, make_user, on_record

pytestmark = pytest.mark.django_db

TOKENS = "/api/v1/tokens"
ME = "/api/v1/me"


class Program:
    """Speaks to the API with a token."""

    _client = Client()

    def __init__(self, text: str) -> None:
        self._headers = {"Authorization": f"Bearer {text}"}

    def get(self, path: str) -> Any:
        return self._client.get(path, headers=self._headers)

    def make(self, *, key: str = "", **body: Any) -> Any:
        headers = {**self._headers, **({"Idempotency-Key": key} if key else {})}
        told = json.dumps({"name": "robot", "scopes": ["read"]} | body)
        return self._client.post(TOKENS, told, "application/json", headers=headers)

    def revoke(self, token: int) -> Any:
        return self._client.delete(f"{TOKENS}/{token}", headers=self._headers)


def program(user: User, **fields: Any) -> Program:
    return Program(make_token(user, **fields)[1])


def browser(user: User) -> Program:
    """Return the same for a person with a session."""
    client = Client()
    client.force_login(user)
    person = Program("")
    person._client, person._headers = client, {}
    return person


def refusal(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


class TestMe:
    def test_a_person_has_no_token(self) -> None:
        assert browser(make_user(Role.OPERATOR, username="ada")).get(ME).json() == {
            "username": "ada",
            "role": "operator",
            "token": None,
            "project_ids": None,
        }

    def test_a_program_learns_what_it_may_do(self) -> None:
        user = make_user(Role.ADMIN)
        limit_access(user, project_ids=[1, 2, 3], actor=ACTOR)
        told = program(user, scope="write", name="ci", project_ids=[3, 4]).get(ME).json()
        assert (told["role"], told["project_ids"], told["token"]["name"]) == ("operator", [3], "ci")
        assert "text" not in told["token"]

    def test_a_stranger_learns_nothing(self) -> None:
        assert refusal(Client().get(ME)) == (401, "not_authenticated")


class TestMaking:
    def test_the_text_opens_the_api(self) -> None:
        made = browser(make_user(Role.OPERATOR)).make(scopes=["read", "write"])
        assert made.status_code == 201
        assert Program(made.json()["text"]).get(ME).json()["role"] == "operator"

    def test_the_text_is_shown_this_once(self) -> None:
        person = browser(make_user(Role.VIEWER))
        made = person.make().json()
        shown = [person.get(f"{TOKENS}/{made['id']}").json(), *person.get(TOKENS).json()["results"]]
        assert made["text"] and all("text" not in row for row in shown)

    def test_sent_again_it_makes_no_other_and_shows_no_text(self) -> None:
        person = browser(make_user(Role.VIEWER))
        first, second = person.make(key="k1"), person.make(key="k1")
        assert second["Idempotency-Replayed"] == "true"
        assert second.json() == first.json() | {"text": None}
        assert ApiToken.objects.count() == 1

    def test_the_text_is_nowhere_in_the_database(self) -> None:
        text = browser(make_user(Role.VIEWER)).make(key="k1").json()["text"]
        dump = io.StringIO()
        call_command("dumpdata", stdout=dump)
        assert ApiToken.objects.get().digest in dump.getvalue()
        assert IdempotentCommand.objects.count() == 1
        assert text not in dump.getvalue() and text[len("bbb_") + 8 :] not in dump.getvalue()

    def test_the_text_is_in_no_log(self, caplog: pytest.LogCaptureFixture) -> None:
        text = browser(make_user(Role.VIEWER)).make().json()["text"]
        Program(text).get(ME)
        Program(text + "x").get(ME)
        assert "token_refused" in caplog.text and text not in caplog.text

    def test_making_and_revoking_are_on_record(self) -> None:
        person = browser(make_user(Role.VIEWER, username="ada"))
        person.revoke(person.make(name="ci").json()["id"])
        told = [(event.type, event.actor, event.payload["action"]) for event in on_record()]
        assert told[-2:] == [
            ("security.audit.token", "user:ada", "token.create"),
            ("security.audit.token", "user:ada", "token.revoke"),
        ]

    @pytest.mark.parametrize(
        ("body", "place"),
        [
            ({"scopes": []}, "/scopes"),
            ({"scopes": ["everything"]}, "/scopes/0"),
            ({"name": ""}, "/name"),
            ({"name": "x" * 101}, "/name"),
            ({"expires_at": "2001-01-01T00:00:00Z"}, "/expires_at"),
            ({"expires_at": "soon"}, "/expires_at"),
            ({"project_ids": [0]}, "/project_ids/0"),
            ({"project_ids": "all"}, "/project_ids"),
            ({"user": 1}, "/user"),
        ],
    )
    def test_what_means_nothing_is_refused(self, body: dict[str, Any], place: str) -> None:
        answer = browser(make_user(Role.ADMIN)).make(**body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, place)
        assert not ApiToken.objects.exists()


class TestNarrowing:
    """A token may do no more than the one who makes it."""

    @pytest.mark.parametrize(
        ("role", "scope", "status"),
        [
            (Role.VIEWER, "read", 201),
            (Role.VIEWER, "write", 403),
            (Role.OPERATOR, "write", 201),
            (Role.OPERATOR, "admin", 403),
            (Role.ADMIN, "admin", 201),
        ],
    )
    def test_a_person_hands_on_no_more_than_their_role(self, role: Role, scope: str, status: int) -> None:
        assert browser(make_user(role)).make(scopes=[scope]).status_code == status

    @pytest.mark.parametrize("scope", ["read", "write"])
    def test_a_program_makes_tokens_only_with_the_scope_admin(self, scope: str) -> None:
        user = make_user(Role.ADMIN)
        assert refusal(program(user, scope=scope).make()) == (403, "scope_too_wide")
        assert program(user, scope="admin").make().status_code == 201

    def test_a_limit_is_handed_on(self) -> None:
        user = make_user(Role.OPERATOR)
        limit_access(user, project_ids=[1, 2], actor=ACTOR)
        person = browser(user)
        assert person.make().json()["project_ids"] == [1, 2]
        assert person.make(project_ids=[2]).json()["project_ids"] == [2]
        assert person.make(project_ids=[]).json()["project_ids"] == []
        assert refusal(person.make(project_ids=[2, 3])) == (403, "outside_access")

    def test_a_limited_token_makes_none_that_sees_more(self) -> None:
        limited = program(make_user(Role.ADMIN), project_ids=[1])
        assert limited.make().json()["project_ids"] == [1]
        assert refusal(limited.make(project_ids=[1, 2])) == (403, "outside_access")

    def test_a_token_makes_none_that_lasts_longer(self) -> None:
        end = timezone.now() + timedelta(days=1)
        short = program(make_user(Role.ADMIN), expires_at=end)
        made = ApiToken.objects.get(pk=short.make().json()["id"])
        assert made.expires_at == end
        later = (end + timedelta(seconds=1)).isoformat()
        assert refusal(short.make(expires_at=later)) == (403, "scope_too_wide")
        sooner = (end - timedelta(hours=1)).isoformat()
        assert short.make(expires_at=sooner).status_code == 201

    def test_a_limit_of_the_user_narrows_tokens_there_are(self) -> None:
        user = make_user(Role.ADMIN)
        everywhere = program(user)
        limit_access(user, project_ids=[5], actor=ACTOR)
        assert everywhere.get(ME).json()["project_ids"] == [5]


class TestListing:
    def test_one_sees_ones_own(self) -> None:
        user, other = make_user(Role.OPERATOR), make_user(Role.OPERATOR)
        token, _ = make_token(other)
        person = browser(user)
        made = person.make().json()["id"]
        assert [row["id"] for row in person.get(TOKENS).json()["results"]] == [made]
        assert [person.get(f"{TOKENS}/{token.pk}").status_code, person.revoke(token.pk).status_code] == [404, 404]

    def test_an_admin_sees_all_and_revokes_any(self) -> None:
        token, text = make_token(make_user(Role.VIEWER))
        admin = browser(make_user(Role.ADMIN))
        assert [row["id"] for row in admin.get(TOKENS).json()["results"]] == [token.pk]
        assert admin.revoke(token.pk).status_code == 204
        assert refusal(Program(text).get(ME)) == (401, "token_invalid")

    def test_an_admin_who_sees_some_projects_sees_only_their_own(self) -> None:
        make_token(make_user(Role.VIEWER))
        user = make_user(Role.ADMIN)
        limit_access(user, project_ids=[1], actor=ACTOR)
        assert browser(user).get(TOKENS).json()["results"] == []

    def test_a_revoked_token_stays_in_the_list(self) -> None:
        person = browser(make_user(Role.VIEWER))
        made = person.make().json()["id"]
        person.revoke(made)
        (row,) = person.get(TOKENS).json()["results"]
        assert row["id"] == made and row["revoked_at"] is not None


class TestRevoking:
    def test_a_program_that_reads_revokes_none_but_itself(self) -> None:
        user = make_user(Role.ADMIN)
        other, _ = make_token(user)
        token, text = make_token(user, scope="read")
        assert refusal(Program(text).revoke(other.pk)) == (403, "scope_too_wide")
        assert Program(text).revoke(token.pk).status_code == 204
        assert refusal(Program(text).get(ME)) == (401, "token_invalid")

    def test_a_program_with_the_scope_admin_revokes_others(self) -> None:
        user = make_user(Role.ADMIN)
        other, _ = make_token(user)
        assert program(user, scope="admin").revoke(other.pk).status_code == 204

    def test_revoking_twice_is_no_error(self) -> None:
        person = browser(make_user(Role.VIEWER))
        made = person.make().json()["id"]
        assert [person.revoke(made).status_code for _ in range(2)] == [204, 204]

    def test_an_expired_token_says_so(self) -> None:
        past = timezone.now() - timedelta(seconds=1)
        assert refusal(program(make_user(Role.VIEWER), expires_at=past).get(ME)) == (401, "token_expired")
