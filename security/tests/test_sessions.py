"""What holds from one request to the next: sessions, their cookies, and how soon another role or limit is felt."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from security.roles import Role
from security.services import limit_access
from security.tests.factories import ACTOR, denials_on_record, make_token, make_user

pytestmark = pytest.mark.django_db

ME = "/api/v1/me"


@pytest.fixture
def ada(db: None) -> User:
    return make_user(Role.ADMIN, username="ada")


@pytest.fixture
def browser(ada: User) -> Client:
    client = Client()
    client.force_login(ada)
    return client


@pytest.fixture
def program(ada: User) -> Client:
    _, text = make_token(ada)
    return Client(headers={"Authorization": f"Bearer {text}"})


def queries(client: Client) -> list[str]:
    client.get(ME)  # Notes that the token is in use, at most once a minute.
    with CaptureQueriesContext(connection) as captured:
        assert client.get(ME).status_code == 200
    return [query["sql"] for query in captured]


def test_a_program_is_known_by_one_query(program: Client) -> None:
    assert len(queries(program)) == 1


def test_a_browser_is_known_by_its_session_and_one_query(browser: Client) -> None:
    assert len(queries(browser)) == 2


def test_limits_and_roles_cost_no_further_query(ada: User, program: Client) -> None:
    limit_access(ada, project_ids=[1, 2], actor=ACTOR)
    ada.groups.add(Group.objects.get_or_create(name="viewer")[0])
    assert len(queries(program)) == 1


def test_a_role_taken_away_is_gone_at_once(ada: User, browser: Client, program: Client) -> None:
    assert [client.get(ME).status_code for client in (browser, program)] == [200, 200]
    ada.groups.clear()
    assert [client.get(ME).status_code for client in (browser, program)] == [403, 403]


def test_a_lesser_role_is_felt_at_once(ada: User, browser: Client, program: Client) -> None:
    ada.groups.set([Group.objects.get_or_create(name="viewer")[0]])
    assert [client.get(ME).json()["role"] for client in (browser, program)] == ["viewer", "viewer"]


def test_a_limit_is_felt_at_once_and_ends_at_once(ada: User, browser: Client, program: Client) -> None:
    limit_access(ada, project_ids=[7], actor=ACTOR)
    assert [client.get(ME).json()["project_ids"] for client in (browser, program)] == [[7], [7]]
    limit_access(ada, project_ids=None, actor=ACTOR)
    assert [client.get(ME).json()["project_ids"] for client in (browser, program)] == [None, None]


def test_deactivating_ends_sessions_and_tokens(ada: User, browser: Client, program: Client) -> None:
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert [client.get(ME).status_code for client in (browser, program)] == [401, 401]


def test_a_new_password_ends_sessions_but_not_tokens(ada: User, browser: Client, program: Client) -> None:
    ada.set_password("honey-and-pollen")
    ada.save()
    assert [client.get(ME).status_code for client in (browser, program)] == [401, 200]


def test_logging_out_ends_the_session_for_whoever_has_its_cookie(ada: User, browser: Client) -> None:
    User.objects.filter(pk=ada.pk).update(is_staff=True)
    stolen = Client()
    stolen.cookies = browser.cookies
    browser.post("/admin/logout/")
    assert stolen.get(ME).status_code == 401


class TestCsrf:
    @pytest.fixture
    def strict(self, ada: User) -> Client:
        client = Client(enforce_csrf_checks=True)
        client.force_login(ada)
        return client

    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_a_change_without_the_token_is_refused(self, strict: Client, method: str) -> None:
        refused = getattr(strict, method)("/api/v1/tokens/1", "{}", "application/json")
        assert (refused.status_code, refused.json()["code"]) == (403, "csrf_failed")

    def test_a_change_with_the_token_passes(self, ada: User, strict: Client) -> None:
        answer = self._post(strict, {"X-CSRFToken": self._token_of(strict, ada)})
        assert answer.status_code == 201

    def test_the_token_of_another_page_does_not_pass(self, strict: Client) -> None:
        strict.cookies["csrftoken"] = "a" * 32
        assert self._post(strict, {"X-CSRFToken": "b" * 32}).status_code == 403

    def test_a_token_of_a_program_needs_none(self, ada: User) -> None:
        _, text = make_token(ada)
        client = Client(enforce_csrf_checks=True)
        assert self._post(client, {"Authorization": f"Bearer {text}"}).status_code == 201

    def test_a_failure_is_recorded_once(self, strict: Client) -> None:
        for _ in range(3):
            self._post(strict, {})
        (event,) = denials_on_record()
        assert (event.actor, event.payload["reason"]) == ("user:ada", "csrf_failed")

    def _post(self, client: Client, headers: dict[str, str]) -> Any:
        body = json.dumps({"name": "ci", "scopes": ["read"]})
        return client.post("/api/v1/tokens", body, "application/json", headers=headers)

    def _token_of(self, client: Client, user: User) -> str:
        """Return the token that the login page gives."""
        client.logout()
        client.get("/admin/login/")
        client.force_login(user)
        return client.cookies["csrftoken"].value


def test_a_session_cookie_is_out_of_reach_for_scripts_and_other_sites() -> None:
    assert settings.SESSION_COOKIE_HTTPONLY is True
    assert (settings.SESSION_COOKIE_SAMESITE, settings.CSRF_COOKIE_SAMESITE) == ("Lax", "Lax")
    # The console reads it to send it along.
    assert settings.CSRF_COOKIE_HTTPONLY is False


def test_in_production_cookies_travel_encrypted_only(tmp_path: Path) -> None:
    names = ["SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SESSION_COOKIE_HTTPONLY", "SECURE_SSL_REDIRECT"]
    code = f"from django.conf import settings; print([getattr(settings, name) for name in {names}])"
    environment = {"BBB_PROFILE": "production", "BBB_HOME": str(tmp_path), "BBB_SECRET_KEY": "k" * 40}
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=settings.BASE_DIR,
        env={"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "beebeebrain.settings", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == str([True] * len(names))
