"""Attempts at tasks, what they said, who may run them and how many at once."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from django.db import models
from django.db.models import Q

from events.states import Level
from orchestration.models import Agent, Task
from runtime.loudness import level_of
from runtime.states import ACTIVE, LogKind, RunStatus
from runtime.stuck.findings import Kind

_ACTIVE = Q(status__in=sorted(ACTIVE))


class RunQuerySet(models.QuerySet["TaskRun"]):
    def active(self) -> RunQuerySet:
        """Return runs that have not ended."""
        return self.filter(_ACTIVE)

    def at_work(self) -> RunQuerySet:
        """Return runs that have a process."""
        return self.filter(status=RunStatus.RUNNING).order_by("id")

    def unowned(self) -> RunQuerySet:
        """Return queued runs that wait for any scheduler: resumed, due again, or never started."""
        return self.filter(status=RunStatus.QUEUED, owner="").order_by("id")

    def holding_slots(self) -> RunQuerySet:
        """Return runs that count against the caps: running, or claimed and about to."""
        return self.filter(owner__gt="")

    def owned(self, owner: str) -> RunQuerySet:
        """Return the runs a scheduler is responsible for."""
        return self.holding_slots().filter(owner=owner)

    def due(self, now: datetime) -> RunQuerySet:
        """Return retries whose time has come."""
        return self.filter(status=RunStatus.RETRY_SCHEDULED, next_retry_at__lte=now).order_by("next_retry_at", "id")


class TaskRun(models.Model):
    """One attempt at a task. `epoch` counts how often it was started; it fences every write."""

    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="runs")
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="runs")
    attempt = models.PositiveIntegerField()
    retry_of = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="retries")
    epoch = models.PositiveIntegerField(default=0)
    status = models.CharField(max_length=20, choices=RunStatus.choices, default=RunStatus.QUEUED)
    idempotency_key = models.CharField(max_length=255, unique=True)
    trace_id = models.CharField(max_length=64)
    owner = models.CharField(max_length=64, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    next_retry_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    session_id = models.CharField(max_length=64, blank=True)
    workspace = models.CharField(max_length=1000, blank=True)
    branch = models.CharField(max_length=250, blank=True)
    base_commit = models.CharField(max_length=64, blank=True)
    head_commit = models.CharField(max_length=64, blank=True)
    merge_commit = models.CharField(max_length=64, blank=True)
    host_id = models.CharField(max_length=64, blank=True)
    boot_id = models.CharField(max_length=64, blank=True)
    pid = models.PositiveIntegerField(null=True, blank=True)
    pid_start_ticks = models.BigIntegerField(null=True, blank=True)
    run_dir = models.CharField(max_length=1000, blank=True)
    log_offset = models.BigIntegerField(default=0)
    log_seq = models.PositiveIntegerField(default=0)
    """Number of the last line in RunLog; lines go on counting over the epochs."""
    prompt = models.TextField(blank=True)
    """What the agent is told when this run starts next: empty for the task itself, else an answer or feedback."""
    summary = models.TextField(blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    error_message = models.TextField(blank=True)
    credential = models.CharField(max_length=64, blank=True, default="", db_default="")
    """The mark of the credential it was last started with, see `llm.credentials`: whose breaker its end is about.

    The default is the database's, too: a scheduler of an earlier version adds attempts without it.
    """
    token_in = models.BigIntegerField(default=0)
    token_out = models.BigIntegerField(default=0)
    token_cache_read = models.BigIntegerField(default=0)
    token_cache_write = models.BigIntegerField(default=0)
    cost_usd = models.DecimalField(max_digits=14, decimal_places=6, default=Decimal(0))
    turns = models.PositiveIntegerField(default=0)
    cost_cap_usd = models.DecimalField(max_digits=14, decimal_places=6, null=True, blank=True)
    """What this start may cost: reserved from the day's budgets while the run holds a slot. So are the other caps."""
    turn_cap = models.PositiveIntegerField(null=True, blank=True)
    token_cap = models.BigIntegerField(null=True, blank=True)
    time_cap_s = models.FloatField(null=True, blank=True)
    worked_s = models.FloatField(default=0, db_default=0)
    """How long its agent worked, over all starts; waiting for a person is no work."""
    version = models.PositiveIntegerField(default=1)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            # Which runs wait for any scheduler?
            models.Index(fields=["id"], condition=Q(status=RunStatus.QUEUED, owner=""), name="run_unowned"),
            # Which runs are at work?
            models.Index(fields=["id"], condition=Q(status=RunStatus.RUNNING), name="run_at_work"),
            # Which runs are mine, and which are held by others? With > since SQLite finds the index by it, but not by <>.
            models.Index(fields=["owner", "lease_until"], condition=Q(owner__gt=""), name="run_held"),
            # Which retry is due next?
            models.Index(fields=["next_retry_at"], condition=Q(status=RunStatus.RETRY_SCHEDULED), name="run_retry_due"),
            # What did this session cost so far?
            models.Index(fields=["session_id"], condition=~Q(session_id=""), name="run_session"),
            # Which runs, and so which lines of logs, belong to this trace?
            models.Index(fields=["trace_id"], name="run_trace"),
            # Which runs ended so long ago that their files are compressed or go?
            models.Index(fields=["ended_at"], condition=Q(ended_at__isnull=False), name="run_ended"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["task", "attempt"], name="run_attempt_once"),
            models.UniqueConstraint(fields=["task"], condition=_ACTIVE, name="run_one_active_per_task"),
            models.CheckConstraint(condition=Q(attempt__gte=1), name="run_attempt_positive"),
            models.CheckConstraint(condition=~Q(idempotency_key=""), name="run_idempotency_key_not_empty"),
            models.CheckConstraint(condition=Q(status__in=RunStatus.values), name="run_status_known"),
            models.CheckConstraint(
                condition=Q(owner="") | Q(status__in=[RunStatus.QUEUED, RunStatus.RUNNING]), name="run_owner_while_held"
            ),
            models.CheckConstraint(
                condition=Q(status=RunStatus.RETRY_SCHEDULED, next_retry_at__isnull=False)
                | (~Q(status=RunStatus.RETRY_SCHEDULED) & Q(next_retry_at__isnull=True)),
                name="run_retry_time_while_scheduled",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.task_id}#{self.attempt}"

    @property
    def tag(self) -> str:
        """The name of this start of the run, and of its directory."""
        return f"{self.pk}.{self.epoch}"


class RunLogQuerySet(models.QuerySet["RunLog"]):
    def at_least(self, level: Level) -> RunLogQuerySet:
        """Return what is at least so loud. As with events, the condition of the index stands in the query."""
        rows = self.filter(level__gte=Level.WARNING) if level > Level.WARNING else self
        return rows.filter(level__gte=level)


class RunLog(models.Model):
    """A line of what a run said and did: the queryable copy of events.jsonl. One writer, no gaps.

    Project, agent and level are derived, see `of`: an index needs them in the row. A scheduler of an earlier version
    leaves them out; its lines are found by their run.
    """

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(TaskRun, on_delete=models.CASCADE, related_name="lines", db_index=False)
    project_id = models.BigIntegerField(null=True)
    agent_id = models.BigIntegerField(null=True)
    seq = models.PositiveIntegerField()
    at = models.DateTimeField()
    kind = models.CharField(max_length=20, choices=LogKind.choices)
    level = models.PositiveSmallIntegerField(choices=Level.choices, default=Level.INFO, db_default=Level.INFO)
    body = models.JSONField(default=dict)

    objects = RunLogQuerySet.as_manager()

    class Meta:
        ordering = ["run_id", "seq"]
        indexes = [
            # What was said lately, and within a stretch of time?
            models.Index(fields=["at", "id"], name="run_log_at"),
            # The same of a project, and of an agent.
            models.Index(fields=["project_id", "at", "id"], name="run_log_project"),
            models.Index(fields=["agent_id", "at", "id"], name="run_log_agent"),
            # What went wrong lately, at all or in this project?
            models.Index(fields=["at", "id"], condition=Q(level__gte=Level.WARNING), name="run_log_loud"),
            models.Index(
                fields=["project_id", "at", "id"], condition=Q(level__gte=Level.WARNING), name="run_log_project_loud"
            ),
        ]
        constraints = [
            # Also the index that answers: what did this run say after line N?
            models.UniqueConstraint(fields=["run", "seq"], name="run_log_line_once"),
        ]

    def __str__(self) -> str:
        return f"{self.run_id}:{self.seq}"

    @classmethod
    def of(cls, run: TaskRun, *, seq: int, at: datetime, kind: str, body: Any) -> Self:
        """Return a line of a run, not yet saved, whose task is at hand."""
        about = {"project_id": run.task.project_id, "agent_id": run.agent_id}
        return cls(run=run, seq=seq, at=at, kind=kind, level=level_of(kind, body), body=body, **about)


class StuckFinding(models.Model):
    """A way in which a run gets nowhere, and how far that has gone: told to the agent, asked of a person, left alone."""

    run = models.ForeignKey(TaskRun, on_delete=models.CASCADE, related_name="findings", db_index=False)
    kind = models.CharField(max_length=20, choices=[(kind.value, kind.value) for kind in Kind])
    epoch = models.PositiveIntegerField()
    """The start of the run it was found in. A later start begins with a clean slate."""
    seq = models.PositiveIntegerField()
    """Only what the log says after this line counts as new evidence."""
    message = models.TextField()
    evidence = models.JSONField(default=dict)
    found_at = models.DateTimeField()
    nudged_at = models.DateTimeField(null=True, blank=True)
    """When the agent was nudged; empty while the scheduler on its host has yet to do it."""
    item_id = models.BigIntegerField(null=True, blank=True)
    """The item that asks a person, until the answer is carried out."""
    muted_until = models.DateTimeField(null=True, blank=True)
    """Until when a person does not want to be asked about it again."""

    class Meta:
        ordering = ["run_id", "kind"]
        indexes = [
            # Which nudges are to be passed on, and which items may have been answered?
            models.Index(
                fields=["run"],
                condition=Q(nudged_at__isnull=True) | Q(item_id__isnull=False),
                name="stuck_finding_pending",
            ),
        ]
        constraints = [
            # Also the index that answers: what was found about this run?
            models.UniqueConstraint(fields=["run", "kind"], name="stuck_finding_once"),
        ]

    def __str__(self) -> str:
        return f"{self.run_id}: {self.kind}"


class Slot(models.Model):
    """How many runs a key holds and may hold. Lowering a cap below `running` is legal: nothing new starts."""

    key = models.CharField(max_length=60, primary_key=True)
    running = models.IntegerField(default=0)
    cap = models.PositiveIntegerField()

    class Meta:
        ordering = ["key"]
        constraints = [models.CheckConstraint(condition=Q(running__gte=0), name="slot_running_not_negative")]

    def __str__(self) -> str:
        return f"{self.key} {self.running}/{self.cap}"


class DayUse(models.Model):
    """What runs used on a day (UTC), under each key that slots have: what daily limits are held against."""

    key = models.CharField(max_length=60)
    day = models.DateField()
    runs = models.PositiveIntegerField(default=0)
    """Starts of runs."""
    turns = models.PositiveBigIntegerField(default=0)
    tokens = models.PositiveBigIntegerField(default=0)
    worked_s = models.FloatField(default=0)
    cost_usd = models.DecimalField(max_digits=14, decimal_places=6, default=Decimal(0))

    class Meta:
        ordering = ["-day", "key"]
        # Also the index that answers: what has everybody used today?
        constraints = [models.UniqueConstraint(fields=["day", "key"], name="day_use_once")]

    def __str__(self) -> str:
        return f"{self.key} {self.day}"

    def amounts(self) -> dict[str, Decimal]:
        """Return what was used, by unit."""
        minutes = Decimal(str(self.worked_s)) / 60
        counted = {"runs": self.runs, "turns": self.turns, "tokens": self.tokens}
        return {unit: Decimal(count) for unit, count in counted.items()} | {"minutes": minutes, "usd": self.cost_usd}


class SchedulerInstance(models.Model):
    """A runscheduler process and when it was last seen. `id` is the owner written into its runs."""

    id = models.CharField(max_length=64, primary_key=True)
    host_id = models.CharField(max_length=64)
    boot_id = models.CharField(max_length=64)
    pid = models.PositiveIntegerField()
    pid_start_ticks = models.BigIntegerField()
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField(db_index=True)
    is_draining = models.BooleanField(default=False)

    class Meta:
        ordering = ["-heartbeat_at"]

    def __str__(self) -> str:
        return self.id


class Duty(models.Model):
    """Who does what one scheduler at a time is to do, see `runtime.duties`, and when it is due again."""

    name = models.CharField(max_length=40, primary_key=True)
    owner = models.CharField(max_length=64, blank=True)
    """Empty while nobody is at it."""
    until = models.DateTimeField()
    """The end of the owner's lease: after that it is anybody's."""
    due_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "duties"

    def __str__(self) -> str:
        return self.name
