"""The cost ledger, which knows tokens, model and price, and no runs; and the breakers of the credentials."""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.db.models import Q
from django.utils import timezone

from llm.states import BreakerState


class UsageDaily(models.Model):
    """A day's use of one model for one project (a plain id; 0 for none)."""

    date = models.DateField()
    provider = models.CharField(max_length=40)
    model = models.CharField(max_length=100)
    project_id = models.BigIntegerField(default=0)
    request_count = models.BigIntegerField(default=0)
    run_count = models.BigIntegerField(default=0)
    token_in = models.BigIntegerField(default=0)
    token_out = models.BigIntegerField(default=0)
    token_cache_read = models.BigIntegerField(default=0)
    token_cache_write = models.BigIntegerField(default=0)
    cost_usd = models.DecimalField(max_digits=14, decimal_places=6, default=Decimal(0))

    class Meta:
        db_table = "api_usage_daily"
        verbose_name_plural = "usage by day"
        ordering = ["-date", "provider", "model"]
        indexes = [
            # What has this project spent today?
            models.Index(fields=["project_id", "date"], name="usage_project_day"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["date", "provider", "model", "project_id"], name="usage_row_once"),
        ]

    def __str__(self) -> str:
        return f"{self.date} {self.model}"


class BreakerQuerySet(models.QuerySet["Breaker"]):
    def not_closed(self) -> BreakerQuerySet:
        """Return breakers that keep starts back, or let one at a time through."""
        return self.filter(reset_at__isnull=False).order_by("id")


class Breaker(models.Model):
    """Keeps back what would start with a credential whose usage limit is reached. One row a credential.

    Closed without `reset_at`, open until that time, and half open after it: then one run at a time tries. Which state
    holds is told by the clock alone, so that nothing has to happen at the reset time.
    """

    provider = models.CharField(max_length=40)
    fingerprint = models.CharField(max_length=64)
    """Which credential, see `llm.credentials`; the credential itself is kept nowhere."""
    opened_at = models.DateTimeField(null=True, blank=True)
    reset_at = models.DateTimeField(null=True, blank=True)
    code = models.CharField(max_length=40, blank=True)
    """The failure that opened it last: usage_limited or rate_limited."""
    message = models.TextField(blank=True)
    """What the provider said then."""
    trial_run_id = models.BigIntegerField(null=True, blank=True)
    """The run that tries; a plain id, since runs stand above this app. One that holds no slot any more tries no more."""
    trial_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1)

    objects = BreakerQuerySet.as_manager()

    class Meta:
        ordering = ["provider", "id"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "fingerprint"], name="breaker_once_per_credential"),
            models.CheckConstraint(
                condition=Q(reset_at__isnull=False, opened_at__isnull=False)
                | Q(reset_at__isnull=True, opened_at__isnull=True, trial_run_id__isnull=True),
                name="breaker_closed_keeps_nothing",
            ),
            models.CheckConstraint(
                condition=Q(trial_run_id__isnull=True, trial_at__isnull=True)
                | Q(trial_run_id__isnull=False, trial_at__isnull=False),
                name="breaker_trial_has_its_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.fingerprint}"

    @property
    def state(self) -> BreakerState:
        if self.reset_at is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self.reset_at > timezone.now() else BreakerState.HALF_OPEN
