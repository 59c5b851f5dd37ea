"""The event log: audit trail and live stream in one table."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q

from events.states import EventType, Level


class EventQuerySet(models.QuerySet["Event"]):
    def after(self, cursor: int) -> EventQuerySet:
        """Return what was committed behind the cursor, in order."""
        return self.filter(id__gt=cursor).order_by("id")

    def at_least(self, level: Level) -> EventQuerySet:
        """Return what is at least so loud."""
        # What an index on what is loud is made for has to stand in the query word for word: SQLite does not conclude.
        rows = self.filter(level__gte=Level.WARNING) if level > Level.WARNING else self
        return rows.filter(level__gte=level)

    def chained(self) -> EventQuerySet:
        """Return what stands in the audit chain."""
        return self.filter(chain_seq__isnull=False)


class Event(models.Model):
    """One thing that happened. Plain ids, no foreign keys: the log outlives what it speaks of.

    What has a default in the database was added later: a process of an earlier version appends without it.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    type = models.CharField(max_length=40, choices=EventType.choices)
    project_id = models.BigIntegerField(null=True)
    task_id = models.BigIntegerField(null=True)
    run_id = models.BigIntegerField(null=True)
    agent_id = models.BigIntegerField(null=True)
    """Who did it or whose run it is about, where that is an agent."""
    actor = models.CharField(max_length=200)
    trace_id = models.CharField(max_length=64)
    level = models.PositiveSmallIntegerField(choices=Level.choices, default=Level.INFO, db_default=Level.INFO)
    payload = models.JSONField(default=dict)
    chain_seq = models.BigIntegerField(null=True)
    """The place in the audit chain, from 1 and without gaps; None for a type outside it, and before it began."""
    chain_hash = models.CharField(max_length=64, blank=True, default="", db_default="")
    """SHA-256 over this event and the hash of the one before it in the chain, see `events.chain`."""

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
            # What did this agent do?
            models.Index(fields=["agent_id", "id"], condition=Q(agent_id__isnull=False), name="event_agent"),
            # When did this last happen, to anything?
            models.Index(fields=["type", "id"], name="event_type"),
            # Which cursor had the log reached at that time? Lists are in the order of ids, which is that of time.
            models.Index(fields=["at"], name="event_at"),
            # What went wrong lately, at all or in this project?
            models.Index(fields=["id"], condition=Q(level__gte=Level.WARNING), name="event_loud"),
            models.Index(fields=["project_id", "id"], condition=Q(level__gte=Level.WARNING), name="event_project_loud"),
        ]
        constraints = [
            # The chain does not fork. Also the index that answers: what is the end of the chain, and what comes next?
            models.UniqueConstraint(
                fields=["chain_seq"], condition=Q(chain_seq__isnull=False), name="event_chain_does_not_fork"
            ),
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
            "agent_id": self.agent_id,
            "level": Level(self.level).word,
            "actor": self.actor,
            "trace_id": self.trace_id,
            "payload": self.payload,
        }


class Floor(models.Model):
    """How far the events of a type have been pruned: behind the cursor everything of the type is still there."""

    type = models.CharField(max_length=40, primary_key=True)
    cursor = models.BigIntegerField()
    pruned_at = models.DateTimeField()

    class Meta:
        ordering = ["type"]

    def __str__(self) -> str:
        return f"{self.type} > {self.cursor}"
