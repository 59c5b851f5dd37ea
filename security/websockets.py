"""Who may open a WebSocket: a browser on a page of ours with a session, or a program with a token."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any
from urllib.parse import SplitResult, urlsplit

from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.http import parse_cookie
from django.http.request import split_domain_port, validate_host

from security import counting
from security.access import Rights, rights_of
from security.addresses import address_in
from security.authentication import token_in
from security.exceptions import TokenExpired, TokenInvalid
from security.throttles import TooManyRefused

Scope = Mapping[str, Any]


class Denier(AsyncWebsocketConsumer):
    """Refuses the handshake."""

    channel_layer_alias = "none"

    async def connect(self) -> None:
        await self.close()


class OriginGuard:
    """Refuses handshakes from pages that are not ours: a browser sends its cookies whoever asks."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._denier: Any = Denier.as_asgi()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        chosen = self._application if is_origin_allowed(scope) else self._denier
        await chosen(scope, receive, send)


class SessionScope:
    """Puts the session of the handshake's cookie into the scope. It is only read: a stream changes none.

    Channels' own middleware looks at every frame that is sent for whether the session has to be saved, which takes longer
    than to send it.
    """

    def __init__(self, application: Any) -> None:
        self._application = application
        self._store: type[SessionBase] = import_module(settings.SESSION_ENGINE).SessionStore

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        key = parse_cookie(header(scope, b"cookie")).get(settings.SESSION_COOKIE_NAME)
        await self._application({**scope, "session": self._store(key)}, receive, send)


def is_origin_allowed(scope: Scope) -> bool:
    """Tell whether the page that asks is one of ours.

    Another port of the same host is not: an agent's development server may run there. A request without an origin
    comes from a program, and needs a token: a browser always sends one.
    """
    origin = header(scope, b"origin")
    if not origin:
        return bool(_bearer(scope))
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    page = _split(origin)
    if page is None or not validate_host(split_domain_port(page.netloc)[0], settings.ALLOWED_HOSTS):
        return False
    return page.netloc == (header(scope, b"host") or page.netloc)


def identity_in(scope: Scope) -> str:
    """Return a name for who opens the connection, the same for each of their connections; empty for a stranger."""
    credential = _bearer(scope)
    kind = "token" if credential else "session"
    credential = credential or scope["session"].session_key or ""
    return counting.key(kind, credential) if credential else ""


async def rights_in(scope: Scope) -> Rights | None:
    """Return what the other side may do at this moment: asked anew, it notices a logout, a revoked token, another role."""
    if bearer := _bearer(scope):
        return await _rights_of_token(bearer.encode("latin-1"), address_in(scope))
    session = scope["session"]
    if not session.session_key:
        return None
    now: Any = {"session": _reread(session)}
    return await _rights_of_user(await get_user(now))


def header(scope: Scope, name: bytes) -> str:
    """Return a header of the handshake; empty where it is missing."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _bearer(scope: Scope) -> str:
    """Return the header Authorization if it holds a token. A proxy may ask for a password of its own (Basic), which is not ours."""
    authorization = header(scope, b"authorization")
    return authorization if authorization.partition(" ")[0].lower() == "bearer" else ""


def _split(origin: str) -> SplitResult | None:
    try:
        return urlsplit(origin.lower())
    except ValueError:
        return None


def _reread(session: SessionBase) -> SessionBase:
    """Return the session as it is stored now; the one of the handshake remembers."""
    # Not type(): of a lazy one that only says what it stands for.
    return session.__class__(session.session_key)


@database_sync_to_async
def _rights_of_token(authorization: bytes, address: str) -> Rights | None:
    try:
        token = token_in(authorization, address=address)
    except (TokenInvalid, TokenExpired, TooManyRefused):
        return None
    return None if token is None else rights_of(token.user, token)


@database_sync_to_async
def _rights_of_user(user: AbstractBaseUser | AnonymousUser) -> Rights | None:
    return rights_of(user)
