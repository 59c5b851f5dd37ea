from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import time_machine
from asgiref.sync import sync_to_async
from django.contrib.auth import aauthenticate, authenticate
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import Client, RequestFactory
from pytest_django.fixtures import Settings

from security.logins import NAMES_AN_ADDRESS, PERIOD_S, LoginLocked
from security.roles import Role
from security.tests.factories import denials_on_record, make_user

pytestmark = pytest.mark.django_db

LOGIN = "/admin/login/"
PASSWORD = "pollen-and-honey"
NOON = 1_764_072_000.0
BROWSER = Client()


class CountingHasher(MD5PasswordHasher):
    """Counts how often it has hashed."""

    count = 0

    def encode(self, password: str, salt: str) -> str:
        CountingHasher.count += 1
        return super().encode(password, salt)


@pytest.fixture(autouse=True)
def limit(settings: Settings) -> None:
    settings.LOGIN_FAILURES = 3


@pytest.fixture
def ada(db: None) -> User:
    user = make_user(Role.ADMIN, username="ada")
    user.set_password(PASSWORD)
    user.is_staff = True
    user.save()
    return user


def log_in(username: str = "ada", typed: str = "wrong", *, address: str = "203.0.113.7", **more: str) -> Any:
    BROWSER.logout()
    return BROWSER.post(LOGIN, {"username": username, "password": typed}, REMOTE_ADDR=address, **more)  # type: ignore[arg-type]


def statuses(count: int, **more: str) -> list[int]:
    return [log_in(**more).status_code for _ in range(count)]


def test_the_right_password_logs_in(ada: User) -> None:
    assert log_in(typed=PASSWORD).status_code == 302
    assert BROWSER.get("/api/v1/me").json()["username"] == "ada"


def test_after_too_many_failures_the_right_password_is_refused_too(ada: User) -> None:
    assert statuses(3) == [200] * 3
    with time_machine.travel(NOON, tick=False):
        assert log_in(typed=PASSWORD).status_code == 429
    assert "_auth_user_id" not in BROWSER.session


def test_the_page_says_how_long_to_wait(ada: User) -> None:
    with time_machine.travel(NOON + 100, tick=False) as now:
        statuses(3)
        now.shift(90)
        refused = log_in(typed=PASSWORD)
    assert (refused.status_code, refused["Retry-After"]) == (429, str(PERIOD_S - 90))
    assert "Try again in 14 minutes." in " ".join(refused.content.decode().split())
    assert "no-store" in refused["Cache-Control"]


def test_a_lock_ends_by_itself(ada: User) -> None:
    with time_machine.travel(NOON + 800, tick=False) as now:
        statuses(3)
        now.shift(PERIOD_S - 1)
        assert log_in(typed=PASSWORD).status_code == 429
        now.shift(1)
        assert log_in(typed=PASSWORD).status_code == 302


def test_trying_on_does_not_prolong_a_lock(ada: User) -> None:
    with time_machine.travel(NOON, tick=False) as now:
        statuses(3)
        for _ in range(10):
            now.shift(PERIOD_S / 10)
            last = log_in().status_code
        assert last == 200


def test_a_login_that_succeeds_forgets_the_failures(ada: User) -> None:
    for _ in range(3):
        assert statuses(2) == [200, 200]
        assert log_in(typed=PASSWORD).status_code == 302


def test_another_name_and_another_address_are_not_locked(ada: User) -> None:
    statuses(4)
    assert log_in(username="somebody").status_code == 200
    assert log_in(typed=PASSWORD, address="203.0.113.8").status_code == 302


def test_a_header_does_not_make_another_address(ada: User) -> None:
    answers = [log_in(HTTP_X_FORWARDED_FOR=f"198.51.100.{number}").status_code for number in range(4)]
    assert answers == [200, 200, 200, 429]


def test_behind_a_proxy_of_ours_each_client_counts_for_itself(ada: User, settings: Settings) -> None:
    settings.TRUSTED_PROXIES = 1
    statuses(4, HTTP_X_FORWARDED_FOR="198.51.100.1")
    assert log_in(typed=PASSWORD, HTTP_X_FORWARDED_FOR="198.51.100.2").status_code == 302


def test_who_tries_many_names_is_locked_out_of_all(ada: User) -> None:
    answers = [log_in(username=f"name-{number}").status_code for number in range(3 * NAMES_AN_ADDRESS)]
    assert set(answers) == {200}
    assert log_in(typed=PASSWORD).status_code == 429
    assert [event.payload["resource"] for event in denials_on_record()] == ["all names"]


def test_an_account_of_ones_own_does_not_help_to_try_others(ada: User) -> None:
    for number in range(3 * NAMES_AN_ADDRESS):
        log_in(username=f"name-{number}")
        if number % 5 == 0 and number < 3 * NAMES_AN_ADDRESS - 1:
            assert log_in(typed=PASSWORD).status_code == 302
    assert log_in(typed=PASSWORD).status_code == 429


def test_a_lock_is_recorded_once(ada: User) -> None:
    statuses(8)
    (event,) = denials_on_record()
    assert (event.type, event.actor, event.project_id) == ("security.audit.access", "anonymous", None)
    assert event.payload == {
        "action": "login",
        "resource": f"User {ada.pk} (ada)",
        "outcome": "denied",
        "reason": "3 failed",
        "ip": "203.0.113.7",
    }


def test_a_single_failure_is_not_recorded(ada: User) -> None:
    statuses(2)
    assert denials_on_record() == []


def test_a_password_typed_into_the_name_is_not_recorded(ada: User) -> None:
    statuses(4, username=PASSWORD)
    (event,) = denials_on_record()
    assert PASSWORD not in str(event.payload) and event.payload["resource"] == "a name that is nobody's"


def test_unknown_and_inactive_names_are_locked_like_others(ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert statuses(4) == statuses(4, username="nobody") == [200, 200, 200, 429]


def test_for_an_unknown_name_the_password_is_hashed_as_well(ada: User, settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["security.tests.test_logins.CountingHasher"]
    ada.set_password(PASSWORD)
    ada.save()
    CountingHasher.count = 0
    log_in()
    known, CountingHasher.count = CountingHasher.count, 0
    log_in(username="nobody")
    assert known == CountingHasher.count == 1


def test_nought_means_no_limit(ada: User, settings: Settings) -> None:
    settings.LOGIN_FAILURES = 0
    assert statuses(3 * NAMES_AN_ADDRESS + 1) == [200] * (3 * NAMES_AN_ADDRESS + 1)


def test_any_way_to_log_in_is_limited(ada: User) -> None:
    request = RequestFactory().get("/")
    for _ in range(3):
        assert authenticate(request, username="ada", password="wrong") is None
    with pytest.raises(LoginLocked):
        authenticate(request, username="ada", password=PASSWORD)


@pytest.mark.django_db(transaction=True)
async def test_the_asynchronous_way_is_limited_too(ada: User) -> None:
    request = RequestFactory().get("/")
    for _ in range(3):
        assert await aauthenticate(request, username="ada", password="wrong") is None
    with pytest.raises(LoginLocked):
        await aauthenticate(request, username="ada", password=PASSWORD)
    await sync_to_async(connections.close_all)()


@pytest.mark.django_db(transaction=True)
def test_of_many_logins_at_once_not_one_too_many_looks_at_the_password(ada: User) -> None:
    start = threading.Barrier(12)

    def one(_: int) -> bool:
        start.wait()
        try:
            authenticate(RequestFactory().get("/"), username="ada", password="wrong")
        except LoginLocked:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(12) as threads:
        assert sum(threads.map(one, range(12))) == 3
