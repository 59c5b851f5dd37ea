"""Who may do what: three roles, each of which includes the ones below it, and the scopes that narrow a token."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import TypeVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, Group, PermissionsMixin
from django.db.models import Case, Model, OuterRef, QuerySet, Value, When

from security.subqueries import CompiledOnce

M = TypeVar("M", bound=Model)


class Role(enum.IntEnum):
    """What a person may do. Comparable: an operator may do what a viewer may."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    @property
    def group(self) -> str:
        """The name of the Django group whose members have this role."""
        return self.name.lower()


# What a token's scope allows at most. `events` allows to write events, which is an operator's, and nothing else.
EVENTS = "events"
SCOPES: dict[str, Role | None] = {"events": None, "read": Role.VIEWER, "write": Role.OPERATOR, "admin": Role.ADMIN}
# Where a user keeps the role that was loaded along: it lives as long as the user in memory, which is one request.
_LOADED = "loaded_role"


def role_of(user: AbstractBaseUser | AnonymousUser) -> Role | None:
    """Return the highest role of a user; None for strangers, inactive users and users without a role."""
    if not user.is_authenticated or not user.is_active or not isinstance(user, PermissionsMixin):
        return None
    if user.is_superuser:
        return Role.ADMIN
    if hasattr(user, _LOADED):
        return Role(loaded) if (loaded := getattr(user, _LOADED)) else None
    names = set(user.groups.values_list("name", flat=True))
    return max((role for role in Role if role.group in names), default=None)


def role_within(scopes: Iterable[str]) -> Role | None:
    """Return the highest role the scopes allow; None where none of them allows one."""
    return max((role for scope in scopes if (role := SCOPES.get(scope)) is not None), default=None)


def role_to_give(scopes: Iterable[str]) -> Role | None:
    """Return the least role of somebody who may give a token these scopes; None where none of them is known."""
    given = list(scopes)
    needed = [role_within(given), Role.OPERATOR if EVENTS in given else None]
    return max((role for role in needed if role is not None), default=None)


def with_role(rows: QuerySet[M], *, user: str = "pk") -> QuerySet[M]:
    """Load with each row the role that the groups of its user give; `user` is the column of that user's id."""
    role = Case(*(When(name=role.group, then=Value(role.value)) for role in Role))
    held = Group.objects.filter(user=OuterRef(user), name__in=[role.group for role in Role])
    highest = CompiledOnce(held.annotate(role=role).order_by("-role").values("role")[:1])
    loaded: QuerySet[M] = rows.annotate(**{_LOADED: highest})
    return loaded


def keep_role(user: AbstractBaseUser, *, loaded_with: Model) -> None:
    """Let a user have the role that was loaded with another row."""
    setattr(user, _LOADED, getattr(loaded_with, _LOADED))
