"""Who gives a command, with which role, and how the event log writes it."""

from __future__ import annotations

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from rest_framework.request import Request

from security.models import ApiToken
from security.roles import Role, role_of, role_within

# As long as the log's column.
_MAX_LENGTH = 200


def actor_of(request: Request | HttpRequest) -> str:
    """Return `user:NAME`, or `user:NAME/token:TOKEN` when a program came with a token."""
    name = f"user:{request.user.get_username()}"
    token = token_of(request)
    return f"{name}/token:{token.name}"[:_MAX_LENGTH] if token else name


def role_in(request: Request | HttpRequest) -> Role | None:
    """Return what a request may do: the role of its user, or what its token allows if that is less."""
    return effective_role(request.user, token_of(request))


def effective_role(user: AbstractBaseUser | AnonymousUser, token: ApiToken | None) -> Role | None:
    """Return the lesser of the user's role and what the token, if there is one, allows."""
    role = role_of(user)
    if token is None or role is None:
        return role
    within = role_within(token.scopes)
    return None if within is None else min(role, within)


def token_of(request: Request | HttpRequest) -> ApiToken | None:
    """Return the API token a request came with."""
    token = getattr(request, "auth", None)
    return token if isinstance(token, ApiToken) else None
