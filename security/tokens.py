"""API tokens: how they look, and whose one is. Only the hash of a token is kept."""

from __future__ import annotations

import hashlib
import secrets

from django.utils import timezone

from security.exceptions import TokenExpired, TokenInvalid
from security.models import ApiToken

PREFIX = "bbb_"
# Enough to tell tokens apart in a list, too little to guess one.
SHOWN = 8


def new_token() -> str:
    """Return a fresh token: 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(text: str) -> str:
    """Return what is kept of a token. It is random, so one round of hashing is enough."""
    return hashlib.sha256(text.encode()).hexdigest()


def find_token(text: str) -> ApiToken:
    """Return the token, with its user. Raises TokenInvalid or TokenExpired.

    The search is by the hash, so how long it takes tells nothing about the tokens that exist.
    """
    token = ApiToken.objects.select_related("user__access_limit").filter(digest=digest_of(text)).first()
    if token is None or token.revoked_at is not None or not token.user.is_active:
        raise TokenInvalid
    if token.expires_at is not None and token.expires_at <= timezone.now():
        raise TokenExpired
    return token
