"""The inbox: the one place where the product wants a person's attention."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from inbox.states import ItemStatus, ItemType, Resolution
from orchestration.models import Project, Task


class ItemQuerySet(models.QuerySet["InboxItem"]):
    def open(self) -> ItemQuerySet:
        return self.filter(status=ItemStatus.OPEN)

    def undelivered(self) -> ItemQuerySet:
        """Return answers that no run has been told yet."""
        return self.filter(
            item_type=ItemType.AWAIT_USER_INPUT,
            status=ItemStatus.CLOSED,
            resolution=Resolution.ANSWERED,
            delivered_at__isnull=True,
        )


class InboxItem(models.Model):
    """A question, a review, a request or an alert that waits for a person."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="items")
    task = models.ForeignKey(Task, on_delete=models.CASCADE, null=True, blank=True, related_name="items")
    run_id = models.BigIntegerField(null=True, blank=True)
    """A plain id, since runs stand above this app."""
    item_type = models.CharField(max_length=30, choices=ItemType.choices)
    title = models.CharField(max_length=300)
    content = models.TextField(blank=True)
    options = models.JSONField(default=list, blank=True)
    status = models.CharField(max_length=10, choices=ItemStatus.choices, default=ItemStatus.OPEN)
    resolution = models.CharField(max_length=20, choices=Resolution.choices, blank=True)
    dedupe_key = models.CharField(max_length=200)
    resolver = models.CharField(max_length=200, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    user_input = models.TextField(blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    """When the agent was given the answer."""
    is_read = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    version = models.PositiveIntegerField(default=1)

    objects = ItemQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            # What is open in this project, newest first?
            models.Index(fields=["project", "status", "-id"], name="item_project"),
            # Which answers has no run been told yet?
            models.Index(
                fields=["run_id"],
                condition=Q(
                    item_type=ItemType.AWAIT_USER_INPUT, resolution=Resolution.ANSWERED, delivered_at__isnull=True
                ),
                name="item_undelivered",
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["dedupe_key"], condition=Q(status=ItemStatus.OPEN), name="item_open_once"),
            models.CheckConstraint(
                condition=Q(status=ItemStatus.OPEN, resolution="", resolved_at__isnull=True)
                | (Q(status=ItemStatus.CLOSED, resolved_at__isnull=False) & ~Q(resolution="")),
                name="item_closed_with_resolution",
            ),
        ]

    def __str__(self) -> str:
        return self.title
