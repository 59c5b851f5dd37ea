"""API tokens: how they look, and whose one is. Only the hash of a token is kept."""

from __future__ import annotations

import functools
import hashlib
import secrets

from django.db.models import QuerySet
from django.utils import timezone

from security.exceptions import TokenExpired, TokenInvalid
from security.models import ApiToken
from security.roles import keep_role, with_role

PREFIX = "bbb_"
# Enough to tell tokens apart in a list, too little to guess one.
SHOWN = 8


def new_token() -> str:
    """Return a fresh token: 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(text: str) -> str:
    """Return what is kept of a token. It is random, so one round of hashing is enough."""
    return hashlib.sha256(text.encode()).hexdigest()


def find_token(text: str) -> ApiToken | None:
    """Return the token with this text, whatever has become of it, with its user, their role and limit. One query.

    The search is by the hash, so how long it takes tells nothing about the tokens that exist.
    """
    if not text.startswith(PREFIX):
        return None
    try:
        token = _tokens().get(digest=digest_of(text))
    except ApiToken.DoesNotExist:
        return None
    keep_role(token.user, loaded_with=token)
    return token


@functools.cache
def _tokens() -> QuerySet[ApiToken]:
    # Put together once, as it is needed by every request: that takes longer than the query.
    return with_role(ApiToken.objects.select_related("user__access_limit"), user="user_id")


def usable(token: ApiToken | None) -> ApiToken:
    """Return a token with which one may log in. Raises TokenInvalid or TokenExpired."""
    if token is None or token.revoked_at is not None or not token.user.is_active:
        raise TokenInvalid
    if token.expires_at is not None and token.expires_at <= timezone.now():
        raise TokenExpired
    return token
