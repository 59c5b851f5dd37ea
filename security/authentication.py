"""Programs log in with a token: `Authorization: Bearer bbb_…`. People have a session, and send its CSRF token along."""

from __future__ import annotations

from django.contrib.auth.models import User
from rest_framework import authentication
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from security import denials, services, throttles, tokens
from security.addresses import address_of
from security.exceptions import TokenExpired, TokenInvalid
from security.identity import actor_of
from security.models import ApiToken


class ApiTokenAuthentication(BaseAuthentication):
    """Log a request in by its token. A request without one is somebody else's to judge."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        try:
            token = token_in(get_authorization_header(request), address=address_of(request._request))
        except (TokenInvalid, TokenExpired) as refused:
            raise AuthenticationFailed(str(refused), code=refused.code) from None
        return None if token is None else (token.user, token)

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class SessionAuthentication(authentication.SessionAuthentication):
    """Log a request in by its session. A change without the CSRF token may come from a page that is not ours."""

    def enforce_csrf(self, request: Request) -> None:
        try:
            super().enforce_csrf(request)
        except PermissionDenied:
            browser = request._request
            actor, ip = actor_of(browser), address_of(browser)
            denials.note(f"{request.method} without CSRF", request.path, actor=actor, reason="csrf_failed", ip=ip)
            raise PermissionDenied(
                "The CSRF token is missing or does not fit. Send the cookie `csrftoken` as the header X-CSRFToken.",
                code="csrf_failed",
            ) from None


def token_in(header: bytes, *, address: str) -> ApiToken | None:
    """Return the token of an Authorization header, None if it holds no bearer.

    Raises TokenInvalid, TokenExpired, or TooManyRefused for an address that sends too many of those.
    """
    scheme, _, text = header.partition(b" ")
    if scheme.lower() != b"bearer":
        return None
    token = tokens.find_token(text.strip().decode("latin-1"))
    try:
        usable = tokens.usable(token)
    except (TokenInvalid, TokenExpired) as refused:
        throttles.refuse_token(token, refused.code, address=address)
        raise
    services.note_use(usable)
    return usable
