"""How often somebody may ask, and how often fail. Nothing here asks the database before a limit is reached."""

from __future__ import annotations

from typing import Any

import structlog
from django.conf import settings
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from security import counting, denials
from security.addresses import address_of, network_of
from security.identity import token_of
from security.models import ApiToken

log = structlog.get_logger("bbb.security")

MINUTE_S = 60


class _Refused(Throttled):
    # DRF puts the sentence together of these.
    extra_detail_singular = "Try again in {wait} second."
    extra_detail_plural = "Try again in {wait} seconds."


class TooManyRequests(_Refused):
    default_detail = "More requests were sent than are accepted in a minute. Send them more slowly."


class TooManyEvents(_Refused):
    default_detail = "More events were sent than are accepted in a minute. Send them more slowly."


class TooManyRefused(_Refused):
    default_detail = "Too many tokens that are not valid came from this address. Send a valid one."


class ApiThrottle(BaseThrottle):
    """So many requests a minute for each token, and for each user without one. Raises TooManyRequests."""

    def allow_request(self, request: Request, view: Any) -> bool:
        limit = settings.API_PER_MINUTE
        if limit:
            counted = counting.count(_who(request), period_s=MINUTE_S)
            if counted.number > limit:
                log.warning("throttled", limit=limit)
                raise TooManyRequests(counted.wait_s)
        return True


def count_events(request: Request, number: int) -> None:
    """Count events that a token, or a user without one, is about to write. Raises TooManyEvents."""
    limit = settings.EVENTS_PER_MINUTE
    if not limit:
        return
    counted = counting.count(f"events:{_who(request)}", period_s=MINUTE_S, by=number)
    if counted.number > limit:
        log.warning("events_throttled", limit=limit)
        raise TooManyEvents(counted.wait_s)


def may_open_stream(identity: str) -> bool:
    """Count one more stream of somebody, and tell whether it is one too many for this minute: as many as requests of the API."""
    limit = settings.API_PER_MINUTE
    if not limit or counting.count(f"stream:{identity}", period_s=MINUTE_S).number <= limit:
        return True
    log.warning("streams_throttled", limit=limit)
    return False


def refuse_token(token: ApiToken | None, code: str, *, address: str) -> None:
    """Note that a token was refused: one of ours that is no longer valid, or for None one that nobody made.

    Tokens cannot be guessed, so a valid one is accepted from wherever it comes. Raises TooManyRefused for an address
    that goes on sending others.
    """
    log.warning("token_refused", code=code, ip=address)
    if token is not None:
        actor = f"user:{token.user.get_username()}/token:{token.name}"
        denials.note("token.use", f"ApiToken {token.pk} ({token.name})", actor=actor, reason=code, ip=address)
    limit = settings.TOKEN_FAILURES_PER_MINUTE
    if not limit:
        return
    counted = counting.count(counting.key("token", network_of(address)), period_s=MINUTE_S)
    if counted.number > limit:
        reason = f"more than {limit} a minute were not valid"
        denials.note("token.use", "unknown tokens", actor=denials.ANYBODY, reason=reason, ip=address)
        raise TooManyRefused(counted.wait_s)


def _who(request: Request) -> str:
    token = token_of(request)
    if token is not None:
        return f"api:token:{token.pk}"
    return f"api:user:{request.user.pk}" if request.user.pk else f"api:from:{network_of(address_of(request._request))}"
