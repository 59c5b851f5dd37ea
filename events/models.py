"""The event log: audit trail and live stream in one table."""

from __future__ import annotations

from typing import Any

from django.db import models

from events.states import EventType


class EventQuerySet(models.QuerySet["Event"]):
    def after(self, cursor: int) -> EventQuerySet:
        """Return what was committed behind the cursor, in order."""
        return self.filter(id__gt=cursor).order_by("id")


class Event(models.Model):
    """One thing that happened. Plain ids, no foreign keys: the log outlives what it speaks of."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    type = models.CharField(max_length=40, choices=EventType.choices)
    project_id = models.BigIntegerField(null=True)
    task_id = models.BigIntegerField(null=True)
    run_id = models.BigIntegerField(null=True)
    actor = models.CharField(max_length=200)
    trace_id = models.CharField(max_length=64)
    payload = models.JSONField(default=dict)

    objects = EventQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        indexes = [
            # What happened in this project since the cursor?
            models.Index(fields=["project_id", "id"], name="event_project"),
            # What happened to this task?
            models.Index(fields=["task_id", "id"], name="event_task"),
            # What happened to this run?
            models.Index(fields=["run_id", "id"], name="event_run"),
            # Which log lines, events and requests belong together?
            models.Index(fields=["trace_id", "id"], name="event_trace"),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.type}"

    def frame(self) -> dict[str, Any]:
        """Return the event as WebSocket, SSE and API show it."""
        return {
            "id": self.id,
            "at": self.at.isoformat(),
            "type": self.type,
            "project_id": self.project_id,
            "task_id": self.task_id,
            "run_id": self.run_id,
            "actor": self.actor,
            "trace_id": self.trace_id,
            "payload": self.payload,
        }
