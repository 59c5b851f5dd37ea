"""Programs log in with a token: `Authorization: Bearer bbb_…`."""

from __future__ import annotations

import structlog
from django.contrib.auth.models import User
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from security import services, tokens
from security.exceptions import TokenExpired, TokenInvalid
from security.models import ApiToken

log = structlog.get_logger("bbb.security")


class ApiTokenAuthentication(BaseAuthentication):
    """Log a request in by its token. A request without one is somebody else's to judge."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        try:
            token = token_in(get_authorization_header(request))
        except (TokenInvalid, TokenExpired) as refused:
            raise AuthenticationFailed(str(refused), code=refused.code) from None
        return None if token is None else (token.user, token)

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


def token_in(header: bytes) -> ApiToken | None:
    """Return the token of an Authorization header, None if it holds no bearer. Raises TokenInvalid or TokenExpired."""
    scheme, _, text = header.partition(b" ")
    if scheme.lower() != b"bearer":
        return None
    try:
        token = tokens.find_token(text.strip().decode("latin-1"))
    except (TokenInvalid, TokenExpired) as refused:
        log.warning("token_refused", code=refused.code)
        raise
    services.note_use(token)
    return token
