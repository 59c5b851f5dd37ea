"""Logins with a password: they may fail only so often. Sessions are given their user with all that is asked about one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import structlog
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers
from rest_framework.exceptions import Throttled

from security import counting, denials
from security.accounts import resource_of
from security.addresses import address_of, network_of
from security.roles import with_role

log = structlog.get_logger("bbb.security")

PERIOD_S = 15 * 60
# All names from one address may fail so many times as often as one name: people share addresses.
NAMES_AN_ADDRESS = 10


class LoginLocked(Throttled):
    default_detail = "Too many logins failed. Check name and password, or ask an administrator for a new one."
    extra_detail_singular = "Try again in {wait} second."
    extra_detail_plural = "Try again in {wait} seconds."

    def __init__(self, wait_s: int) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


class PasswordBackend(ModelBackend):
    """Django's own, whose logins may fail only so often."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        """Return the user, or None where name and password do not fit. Raises LoginLocked."""
        username = kwargs.get(User.USERNAME_FIELD) if username is None else username
        if username is None or password is None:
            return None
        attempt = Attempt(username, address=address_of(request))
        attempt.begin()
        # For a name that is nobody's it hashes as well, which takes as long.
        user = super().authenticate(request, username=username, password=password)
        if not isinstance(user, User):
            attempt.fail()
            return None
        attempt.succeed()
        return user

    async def aauthenticate(self, request: HttpRequest | None, **kwargs: Any) -> User | None:  # type: ignore[override]
        """Go the same way: Django's own would count nothing."""
        return await sync_to_async(self.authenticate)(request, **kwargs)

    def get_user(self, user_id: Any) -> User | None:
        """Return the user with role and limit: what a request asks about them it asks once."""
        user = with_role(User.objects.select_related("access_limit")).filter(pk=user_id).first()
        return user if user is not None and self.user_can_authenticate(user) else None

    async def aget_user(self, user_id: Any) -> User | None:
        return await sync_to_async(self.get_user)(user_id)


class Attempt:
    """One login. It is counted before the password is looked at: of many at the same moment not one too many is."""

    def __init__(self, username: str, *, address: str) -> None:
        self._username, self._address = username, address
        self._network = network_of(address)
        self._name_key = counting.key("login", self._network, username)
        self._address_key = counting.key("login", self._network)
        self._limit: int = settings.LOGIN_FAILURES
        self._number = 0

    def begin(self) -> None:
        """Refuse a login that comes after too many others. Raises LoginLocked."""
        if not self._limit:
            return
        if wait_s := counting.locked_for(self._name_key, self._address_key):
            raise LoginLocked(wait_s)
        self._number, wait_s = counting.count(self._name_key, period_s=PERIOD_S)
        if self._number > self._limit:
            raise LoginLocked(wait_s)

    def succeed(self) -> None:
        """Begin to count this name anew. Of the address it says nothing: one may have an account and try others."""
        counting.forget(self._name_key, period_s=PERIOD_S)

    def fail(self) -> None:
        """Lock what has failed too often."""
        log.warning("login_failed", ip=self._address)
        if not self._limit:
            return
        if self._number >= self._limit:
            self._lock(self._name_key, self._account(), f"{self._limit} failed")
        most = self._limit * NAMES_AN_ADDRESS
        if counting.count(self._address_key, period_s=PERIOD_S).number >= most:
            self._lock(self._address_key, "all names", f"{most} failed from one address")

    def _lock(self, key: str, resource: str, reason: str) -> None:
        if counting.lock(key, period_s=PERIOD_S):
            denials.record("login", resource, actor=denials.ANYBODY, reason=reason, ip=self._address)

    def _account(self) -> str:
        """Return whose name it is. Any other name stays unsaid: people type passwords into the wrong field."""
        user = User.objects.filter(username=self._username).first()
        return resource_of(user) if user else "a name that is nobody's"


class LockedLoginMiddleware:
    """Answers a locked login, wherever it was tried, with a page that says how long to wait."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, LoginLocked):
            return None
        told = {"title": "Too many failed logins", "minutes": math.ceil(exception.wait_s / 60)}
        page = {**admin.site.each_context(request), **told}
        response = render(request, "security/login_locked.html", page, status=exception.status_code)
        response.headers["Retry-After"] = str(exception.wait_s)
        add_never_cache_headers(response)
        return response
