"""Credentials of programs, and the commands they have given."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class TokenQuerySet(models.QuerySet["ApiToken"]):
    def valid(self) -> TokenQuerySet:
        """Return tokens that are neither revoked nor expired."""
        alive = models.Q(expires_at__isnull=True) | models.Q(expires_at__gt=timezone.now())
        return self.filter(alive, revoked_at__isnull=True)


class ApiToken(models.Model):
    """A program's key. Only its hash is kept; the token itself is shown once."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list)
    project_ids = models.JSONField(null=True, blank=True)
    """The only projects the token is for; null: all that its user may see. Plain ids, since projects stand above."""
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = TokenQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class AccessLimit(models.Model):
    """The only projects a user may see. A user without such a row sees all."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="access_limit")
    project_ids = models.JSONField(default=list, blank=True)

    def __str__(self) -> str:
        return f"{self.user} sees {len(self.project_ids)} projects"


class IdempotentCommand(models.Model):
    """The stored answer to a command that was given with an Idempotency-Key."""

    scope = models.CharField(max_length=200)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    status_code = models.PositiveSmallIntegerField()
    headers = models.JSONField(default=dict)
    body = models.TextField(default="", blank=True)
    """JSON as it was sent, with the names in their order; empty for an answer without a body."""
    expires_at = models.DateTimeField()

    class Meta:
        indexes = [
            # Which answers may be forgotten?
            models.Index(fields=["expires_at"], name="command_expiry"),
        ]
        constraints = [models.UniqueConstraint(fields=["scope", "key"], name="command_once")]

    def __str__(self) -> str:
        return f"{self.scope} {self.key}"
