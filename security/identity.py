"""Who gives a command, with which role, and how the event log writes it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from rest_framework.request import Request

from security.exceptions import NotAuthor, ScopeTooWide
from security.models import ApiToken
from security.roles import EVENTS, Role, role_of, role_to_give, role_within

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


def may_write_events(request: Request | HttpRequest) -> bool:
    """Tell whether a request may write events: an operator's may, by a token with the scope `events` or `write`."""
    token, role = token_of(request), role_of(request.user)
    if role is None or role < Role.OPERATOR:
        return False
    within = role_within(token.scopes) if token else role
    return (within is not None and within >= Role.OPERATOR) or (token is not None and EVENTS in token.scopes)


def require_author(request: Request, author: str) -> None:
    """Refuse what only the author of something, or an admin, may do to it. Raises NotAuthor."""
    if author != request.user.get_username() and role_in(request) != Role.ADMIN:
        raise NotAuthor


def require_within(request: Request, scopes: Iterable[str]) -> None:
    """Refuse scopes beyond what the one who asks may do, and any to a token that is not for admins. Raises ScopeTooWide."""
    own, wanted = role_in(request), role_to_give(scopes)
    is_program = token_of(request) is not None
    if own is None or wanted is None or wanted > own or (is_program and own < Role.ADMIN):
        raise ScopeTooWide


def require_until(request: Request, wanted: datetime | None) -> datetime | None:
    """Return when a token may end: when it is wanted, and not after the one that makes it. Raises ScopeTooWide."""
    own = token.expires_at if (token := token_of(request)) else None
    if own is not None and wanted is not None and wanted > own:
        raise ScopeTooWide("A token makes none that lasts longer than itself.")
    return wanted or own


def require_revoker(request: Request, token: ApiToken) -> None:
    """Refuse to let a program revoke other tokens, unless its own has the scope `admin`. Raises ScopeTooWide."""
    own = token_of(request)
    if own is not None and own.pk != token.pk and role_in(request) != Role.ADMIN:
        raise ScopeTooWide("A token without the scope `admin` revokes none but itself.")


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
