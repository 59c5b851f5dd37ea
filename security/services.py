"""What changes credentials. Each change is on record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db.models import Q
from django.utils import timezone

from security import audit, tokens
from security.exceptions import UnknownScope
from security.models import AccessLimit, ApiToken
from security.roles import SCOPES

# Often enough to see which tokens are in use, seldom enough to cost nothing.
USE_NOTED_EVERY = timedelta(minutes=1)


def create_token(
    user: User,
    *,
    name: str,
    scopes: Sequence[str],
    expires_at: datetime | None = None,
    project_ids: Sequence[int] | None = None,
    actor: str,
) -> tuple[ApiToken, str]:
    """Make a token and return it with its text, which is never seen again. Raises UnknownScope."""
    if not scopes or any(scope not in SCOPES for scope in scopes):
        raise UnknownScope
    text = tokens.new_token()
    with audit.trail().unit_of_work():
        token = ApiToken.objects.create(
            user=user,
            name=name,
            prefix=text[: tokens.SHOWN],
            digest=tokens.digest_of(text),
            scopes=list(scopes),
            project_ids=None if project_ids is None else sorted(set(project_ids)),
            expires_at=expires_at,
        )
        _record("token.create", token, actor=actor)
    return token, text


def revoke_token(token: ApiToken, *, actor: str) -> None:
    """Make a token useless from now on. Revoking it again changes nothing."""
    now = timezone.now()
    with audit.trail().unit_of_work():
        if ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True).update(revoked_at=now):
            token.revoked_at = now
            _record("token.revoke", token, actor=actor)


def limit_access(user: User, *, project_ids: Sequence[int] | None, actor: str) -> None:
    """Let a user see only these projects; None: all of them again."""
    with audit.trail().unit_of_work():
        if project_ids is None:
            AccessLimit.objects.filter(user=user).delete()
        else:
            AccessLimit.objects.update_or_create(user=user, defaults={"project_ids": sorted(set(project_ids))})
        audit.trail().record_access(
            action="access.limit",
            resource=f"User {user.pk} ({user.get_username()})",
            outcome="allowed",
            actor=actor,
            reason="all projects" if project_ids is None else f"projects {sorted(set(project_ids))}",
        )


def note_use(token: ApiToken) -> None:
    """Remember that a token was used; at most once a minute, and not worth an event."""
    now = timezone.now()
    if token.last_used_at is not None and token.last_used_at > now - USE_NOTED_EVERY:
        return
    is_due = Q(last_used_at__isnull=True) | Q(last_used_at__lte=now - USE_NOTED_EVERY)
    ApiToken.objects.filter(is_due, pk=token.pk).update(last_used_at=now)


def _record(action: str, token: ApiToken, *, actor: str) -> None:
    audit.trail().record_token(
        action=action,
        resource=f"ApiToken {token.pk} ({token.name})",
        outcome="allowed",
        actor=actor,
        reason=f"for {token.user.get_username()}, scopes {', '.join(token.scopes)}",
    )
