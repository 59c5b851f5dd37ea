"""The cost ledger: what each model used on each day. Knows tokens, model and price, not runs."""

from __future__ import annotations

from decimal import Decimal

from django.db import models


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
