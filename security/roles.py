"""Who may do what: three roles, each of which includes the ones below it, and the scopes that narrow a token."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, PermissionsMixin


class Role(enum.IntEnum):
    """What a person may do. Comparable: an operator may do what a viewer may."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    @property
    def group(self) -> str:
        """The name of the Django group whose members have this role."""
        return self.name.lower()


# What a token's scope allows at most.
SCOPES = {"read": Role.VIEWER, "write": Role.OPERATOR, "admin": Role.ADMIN}


def role_of(user: AbstractBaseUser | AnonymousUser) -> Role | None:
    """Return the highest role of a user; None for strangers, inactive users and users without a role."""
    if not user.is_authenticated or not user.is_active or not isinstance(user, PermissionsMixin):
        return None
    if user.is_superuser:
        return Role.ADMIN
    names = set(user.groups.values_list("name", flat=True))
    return max((role for role in Role if role.group in names), default=None)


def role_within(scopes: Iterable[str]) -> Role | None:
    """Return the highest role the scopes allow; None where none of them is known."""
    return max((SCOPES[scope] for scope in scopes if scope in SCOPES), default=None)
