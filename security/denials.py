"""Refusals that are worth a line in the audit trail, and those who make them: bounded, so that no scanner fills it.

A kind of refusal is recorded once an hour for the one who was refused, and all of them together only so often;
the log has each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponseBase
from rest_framework.permissions import SAFE_METHODS

from security import audit, counting
from security.addresses import address_of
from security.identity import actor_of

log = structlog.get_logger("bbb.security")

ANYBODY = "anonymous"
AGAIN_AFTER_S = 3600
MOST_AN_HOUR = 500


def note(action: str, resource: str, *, actor: str, reason: str, ip: str) -> None:
    """Log a refusal, and record it unless the same one was recorded within the hour."""
    told = {"action": action, "resource": resource, "actor": actor, "reason": reason, "ip": ip}
    log.warning("access_denied", **told)
    whose = ip if actor == ANYBODY else actor
    if counting.is_first(counting.key("denied", action, whose, reason), period_s=AGAIN_AFTER_S):
        record(action, resource, actor=actor, reason=reason, ip=ip)


def record(action: str, resource: str, *, actor: str, reason: str, ip: str) -> None:
    """Record a refusal that happens seldom. The refusal stands even where it cannot be recorded."""
    if counting.count("denials", period_s=AGAIN_AFTER_S).number > MOST_AN_HOUR:
        return
    try:
        with audit.trail().unit_of_work():
            audit.trail().record_access(
                action=action, resource=resource, outcome="denied", actor=actor, reason=reason, ip=ip
            )
    except DatabaseError:
        log.exception("denial_not_recorded", action=action, actor=actor)


class DenialMiddleware:
    """Notes commands that were refused to somebody who has logged in: behind all transactions of the request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        if response.status_code == 403 and request.method not in SAFE_METHODS and request.user.is_authenticated:
            data: dict[str, Any] = getattr(response, "data", None) or {}
            note(
                f"{request.method} {_place(request)}",
                request.path,
                actor=actor_of(request),
                reason=data.get("code", "permission_denied"),
                ip=address_of(request),
            )
        return response


def _place(request: HttpRequest) -> str:
    """Return the name of an address, which is the same for all rows."""
    return request.resolver_match.view_name if request.resolver_match else request.path
