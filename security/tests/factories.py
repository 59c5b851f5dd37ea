"""People and tokens for tests."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.apps import apps
from django.contrib.auth.models import Group, User

from security.models import ApiToken
from security.roles import Role
from security.services import create_token

_numbers = itertools.count(1)
ACTOR = "user:owner"


def make_user(role: Role | None = None, *, username: str = "", is_active: bool = True) -> User:
    """Create a user with a role."""
    user = User.objects.create_user(username or f"person-{next(_numbers)}", is_active=is_active)
    if role is not None:
        # Tests with real transactions empty every table, the groups of the migration too.
        user.groups.add(Group.objects.get_or_create(name=role.group)[0])
    return user


def make_token(
    user: User,
    *,
    scope: str = "admin",
    name: str = "robot",
    expires_at: datetime | None = None,
    project_ids: Sequence[int] | None = None,
) -> tuple[ApiToken, str]:
    """Create a token; return it with its text."""
    return create_token(user, name=name, scopes=[scope], expires_at=expires_at, project_ids=project_ids, actor=ACTOR)


def on_record() -> list[Any]:
    """Return the events there are, the oldest first. By name: whoever keeps the trail stands above this app."""
    return list(apps.get_model("events", "Event")._default_manager.order_by("id"))


def denials_on_record() -> list[Any]:
    """Return those events that tell of a refusal."""
    return [event for event in on_record() if event.payload.get("outcome") == "denied"]
