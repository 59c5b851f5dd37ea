"""Who may do what: every endpoint, every role, every method, against one table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from drf_spectacular.views import SpectacularAPIView
from rest_framework.test import APIClient

from security.roles import Role
from security.services import limit_access, revoke_token
from security.tests.factories import ACTOR, make_token, make_user
from tests.endpoints import Endpoint, endpoints
from tests.worlds import World, make_world

# Who may do what is decided before a row is looked for.
pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

# Besides roles: everybody, and everybody who has logged in.
ANYBODY, LOGGED_IN = -1, 0
VIEWER, OPERATOR, ADMIN = Role.VIEWER, Role.OPERATOR, Role.ADMIN

# The least that is needed. A method that is not named is there for nobody.
TABLE: dict[str, dict[str, int]] = {
    "": {"GET": ANYBODY},
    "healthz": {"GET": ANYBODY},
    "readyz": {"GET": ANYBODY},
    "api/v1/schema": {"GET": LOGGED_IN},
    "api/v1/docs": {"GET": LOGGED_IN},
    "api/v1/me": {"GET": VIEWER},
    # One's own; what others have is for admins: api/tests/test_accounts.py.
    "api/v1/tokens": {"GET": VIEWER, "POST": VIEWER},
    "api/v1/tokens/{pk}": {"GET": VIEWER, "DELETE": VIEWER},
    "api/v1/projects": {"GET": VIEWER, "POST": ADMIN},
    "api/v1/projects/{pk}": {"GET": VIEWER, "PATCH": ADMIN, "DELETE": ADMIN},
    "api/v1/projects/{pk}/graph": {"GET": VIEWER},
    "api/v1/agents": {"GET": VIEWER, "POST": ADMIN},
    "api/v1/agents/{pk}": {"GET": VIEWER, "PATCH": ADMIN, "DELETE": ADMIN},
    "api/v1/agents/{pk}/health": {"GET": VIEWER},
    "api/v1/tasks": {"GET": VIEWER, "POST": OPERATOR},
    "api/v1/tasks/{pk}": {"GET": VIEWER, "PATCH": OPERATOR, "DELETE": OPERATOR},
    "api/v1/tasks/{pk}/why": {"GET": VIEWER},
    "api/v1/tasks/{pk}/graph": {"GET": VIEWER},
    "api/v1/tasks/{pk}/run": {"POST": OPERATOR},
    "api/v1/tasks/{pk}/pause": {"POST": OPERATOR},
    "api/v1/tasks/{pk}/resume": {"POST": OPERATOR},
    "api/v1/tasks/{pk}/retry": {"POST": OPERATOR},
    "api/v1/tasks/{pk}/cancel": {"POST": OPERATOR},
    "api/v1/tasks/{pk}/approve": {"POST": OPERATOR},
    "api/v1/tasks/{pk}/request-changes": {"POST": OPERATOR},
    "api/v1/tasks/bulk": {"POST": OPERATOR},
    "api/v1/tasks/broadcast/{command}": {"POST": OPERATOR},
    "api/v1/dependencies": {"GET": VIEWER, "POST": OPERATOR},
    "api/v1/dependencies/{pk}": {"GET": VIEWER, "DELETE": OPERATOR},
    "api/v1/documents": {"GET": VIEWER, "POST": OPERATOR},
    "api/v1/documents/{pk}": {"GET": VIEWER, "PATCH": OPERATOR, "DELETE": OPERATOR},
    "api/v1/comments": {"GET": VIEWER, "POST": OPERATOR},
    "api/v1/comments/{pk}": {"GET": VIEWER, "PATCH": OPERATOR, "DELETE": OPERATOR},
    "api/v1/runs": {"GET": VIEWER},
    "api/v1/runs/{pk}": {"GET": VIEWER},
    "api/v1/runs/{pk}/logs": {"GET": VIEWER},
    "api/v1/runs/{pk}/diff": {"GET": VIEWER},
    "api/v1/runs/{pk}/cancel": {"POST": OPERATOR},
    "api/v1/logs": {"GET": VIEWER},
    "api/v1/logs/{pk}": {"GET": VIEWER},
    "api/v1/breakers": {"GET": VIEWER},
    "api/v1/breakers/{pk}": {"GET": VIEWER},
    "api/v1/breakers/{pk}/reset": {"POST": ADMIN},
    "api/v1/inbox": {"GET": VIEWER},
    "api/v1/inbox/{pk}": {"GET": VIEWER},
    "api/v1/inbox/{pk}/close": {"POST": OPERATOR},
    "api/v1/inbox/{pk}/read": {"POST": OPERATOR},
    "api/v1/events": {"GET": VIEWER, "POST": OPERATOR},
    "api/v1/events/cursor": {"GET": VIEWER},
    "api/v1/events/stream": {"GET": VIEWER},
    "api/v1/events/{pk}": {"GET": VIEWER},
}

# What Django calls them.
VERBS = {"GET": "view", "POST": "add", "PATCH": "change", "DELETE": "delete"}
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
SAFE = {"GET", "HEAD", "OPTIONS"}
# A row that is not there: what passes the guards does not find it.
NOBODY = 10**9
# A change that the guards have let pass: it finds no row, or a body without what is needed.
PASSED = {400, 404}
# Of what is there for everybody; the server under test has no scheduler, and says so.
OPEN = {200, 302, 405, 503}


def person(role: Role | None, **fields: Any) -> Callable[[World], tuple[User, APIClient]]:
    """Return somebody with a session."""

    def log_in(world: World) -> tuple[User, APIClient]:
        user, client = make_user(role), APIClient()
        client.force_login(user)
        User.objects.filter(pk=user.pk).update(**fields)
        return user, client

    return log_in


def limited(world: World) -> tuple[User, APIClient]:
    user, client = person(OPERATOR)(world)
    limit_access(user, project_ids=[world.project.pk], actor=ACTOR)
    return user, client


def program(scope: str, *, is_revoked: bool = False, age: timedelta | None = None) -> Callable[[World], Any]:
    """Return a program with a token of an admin."""

    def send(world: World) -> tuple[User, APIClient]:
        user, client = make_user(ADMIN), APIClient()
        expires_at = timezone.now() - age if age else None
        token, text = make_token(user, scope=scope, expires_at=expires_at)
        if is_revoked:
            revoke_token(token, actor=ACTOR)
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
        return user, client

    return send


def stranger(world: World) -> tuple[User, APIClient]:
    return make_user(), APIClient()


# Who comes, and what they may do at most; None: they are not known at all.
WHO: dict[str, tuple[Callable[[World], tuple[User, APIClient]], int | None]] = {
    "anonymous": (stranger, None),
    "inactive": (person(ADMIN, is_active=False), None),
    "expired token": (program("admin", age=timedelta(days=1)), None),
    "revoked token": (program("admin", is_revoked=True), None),
    "no role": (person(None), LOGGED_IN),
    "viewer": (person(VIEWER), VIEWER),
    "operator": (person(OPERATOR), OPERATOR),
    "limited operator": (limited, OPERATOR),
    "admin": (person(ADMIN), ADMIN),
    "superuser": (person(None, is_superuser=True), ADMIN),
    "token to read": (program("read"), VIEWER),
    "token to write": (program("write"), OPERATOR),
    "token of an admin": (program("admin"), ADMIN),
}


class NoSchema:
    """Takes the place of what takes seconds."""

    def __init__(self, **_: Any) -> None: ...

    def get_schema(self, **_: Any) -> dict[str, Any]:
        return {}


@pytest.fixture(autouse=True)
def quick_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SpectacularAPIView, "generator_class", NoSchema)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path, "hive")


def test_the_table_has_every_endpoint_and_no_other() -> None:
    assert sorted(TABLE) == sorted(endpoints())


@pytest.mark.parametrize("who", WHO)
def test_everybody_may_do_what_the_table_says(who: str, world: World) -> None:
    enter, rank = WHO[who]
    user, client = enter(world)
    ids = {**world.ids, "tokens": make_token(user)[0].pk}
    wrong = []
    for path, endpoint in endpoints().items():
        for method in METHODS:
            status = send(client, endpoint, method, ids)
            expected = statuses(rank, path, method)
            if status not in expected:
                wrong.append(f"{method} {path}: {status}, not {sorted(expected)}")
    assert wrong == []


@pytest.mark.parametrize("role", list(Role))
def test_the_permissions_of_django_say_the_same(role: Role) -> None:
    user, seen = make_user(role), 0
    for path, verbs in TABLE.items():
        view = endpoints()[path].view
        # Everybody has tokens of their own; the permissions are about other people's. In the admin nobody adds an event.
        if view is None or not hasattr(view, "project_path") or path.startswith(("api/v1/tokens", "api/v1/events")):
            continue
        meta = view.queryset.model._meta
        for method, needed in verbs.items():
            if path.split("/")[3:] in ([], ["{pk}"]):
                name = f"{meta.app_label}.{VERBS[method]}_{meta.model_name}"
                assert user.has_perm(name) is (role >= needed), name
                seen += 1
    assert seen > 20


def send(client: APIClient, endpoint: Endpoint, method: str, ids: dict[str, int]) -> int:
    """Ask: reads for a row that is there, changes for one that is not."""
    row = ids.get(endpoint.noun, 0) if method in SAFE else NOBODY
    url = endpoint.url(pk=row, command="pause")
    body = "" if method in SAFE else "{}"
    return int(client.generic(method, url, body, "application/json").status_code)


def statuses(rank: int | None, path: str, method: str) -> set[int]:
    """Return what the table allows as an answer to somebody of this rank."""
    row = TABLE[path]
    least = row.get("GET", VIEWER)
    if least == ANYBODY:
        return OPEN
    if rank is None:
        # The one page among them leads a person to the login; a bad token is refused there too.
        return {302, 401} if path == "api/v1/docs" else {401}
    if rank < min(least, VIEWER):
        return {403}
    needed = row.get("GET" if method == "HEAD" else method)
    if needed is None:
        return nobodys(rank, method, is_open=least == LOGGED_IN)
    if rank < needed:
        return {403}
    return {200} if method in SAFE else PASSED


def nobodys(rank: int, method: str, *, is_open: bool) -> set[int]:
    """Return what a method that is there for nobody is answered."""
    if method == "OPTIONS":
        return {200, 405}
    # Who may change nothing there hears that first.
    may_change = is_open or rank >= ADMIN
    return {405} if method in SAFE or may_change else {403, 405}
