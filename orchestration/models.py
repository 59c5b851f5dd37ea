"""What exists and what depends on what: projects, agents, tasks, their edges, documents and comments."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import ExpressionWrapper, F, Q

from orchestration.states import (
    OVER,
    AgentStatus,
    CommentStatus,
    DependencyKind,
    DocumentType,
    PermissionMode,
    Phase,
    Priority,
    TaskStatus,
    TaskType,
)

# Tools an agent gets unless its maker says otherwise.
DEFAULT_TOOLS = ["Read", "Edit", "Write", "Glob", "Grep", "Bash", "TodoWrite"]


def default_tools() -> list[str]:
    return list(DEFAULT_TOOLS)


class Project(models.Model):
    """A git repository and its rules."""

    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=60, unique=True)
    root_path = models.CharField(max_length=1000)
    base_branch = models.CharField(max_length=200, default="main")
    setup_command = models.TextField(blank=True)
    checks = models.JSONField(default=list, blank=True)
    max_parallel_runs = models.PositiveIntegerField(default=4)
    max_in_review = models.PositiveIntegerField(default=0, help_text="Tasks that may wait in review; 0: any number.")
    daily_budget_usd = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True)
    daily_limits = models.JSONField(default=dict, db_default={}, blank=True)
    auto_approve = models.BooleanField(default=False)
    is_paused = models.BooleanField(default=False)
    is_archived = models.BooleanField(default=False)
    last_served_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    version = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(daily_budget_usd__isnull=True) | Q(daily_budget_usd__gte=0),
                name="project_budget_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Agent(models.Model):
    """Who does the work: a provider's client, its model, its persona, its tools and limits."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="agents")
    name = models.CharField(max_length=100)
    role = models.CharField(max_length=100, blank=True)
    provider = models.CharField(max_length=40, default="claude_code")
    model = models.CharField(max_length=100, blank=True, help_text="Empty: the operator's default.")
    persona = models.TextField(blank=True)
    enabled_tools = models.JSONField(default=default_tools, blank=True)
    permission_mode = models.CharField(
        max_length=20, choices=PermissionMode.choices, default=PermissionMode.ACCEPT_EDITS
    )
    max_parallel_runs = models.PositiveIntegerField(default=1)
    timeout_s = models.PositiveIntegerField(default=3600)
    max_turns = models.PositiveIntegerField(default=200)
    max_tokens = models.PositiveBigIntegerField(default=0, db_default=0, help_text="For one start of a run; 0: no cap.")
    max_cost_usd = models.DecimalField(max_digits=12, decimal_places=6, default=Decimal(5))
    daily_limits = models.JSONField(default=dict, db_default={}, blank=True)
    status = models.CharField(max_length=20, choices=AgentStatus.choices, default=AgentStatus.ACTIVE)
    created_at = models.DateTimeField(auto_now_add=True)
    version = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        ordering = ["project_id", "name"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="agent_name_once_per_project"),
            models.CheckConstraint(condition=Q(max_cost_usd__gte=0), name="agent_cost_not_negative"),
            models.CheckConstraint(condition=Q(status__in=AgentStatus.values), name="agent_status_known"),
        ]

    def __str__(self) -> str:
        return self.name


_READY = Q(status=TaskStatus.TODO, unmet_dependencies=0, is_held=False)

# False sorts first, so tasks that wait for no time come before those that do. NULLS FIRST would say the same, but SQLite
# takes it in no index, and PostgreSQL would then sort all ready tasks to find the first.
_IS_TIMED = ExpressionWrapper(Q(not_before__isnull=False), output_field=models.BooleanField())


class TaskQuerySet(models.QuerySet["Task"]):
    def ready(self) -> TaskQuerySet:
        """Return tasks that nothing but time, slots and budgets keeps from starting."""
        return self.filter(_READY, project__is_archived=False)

    def due(self, now: datetime) -> TaskQuerySet:
        """Return ready tasks whose `not_before` has passed, the next to start first."""
        return self.ready().filter(Q(not_before__isnull=True) | Q(not_before__lte=now)).in_order()

    def next_due(self, now: datetime) -> TaskQuerySet:
        """Return ready tasks whose `not_before` lies ahead, the first to come due first."""
        return self.ready().filter(not_before__gt=now).order_by("not_before")

    def in_order(self) -> TaskQuerySet:
        """Put the next to start first."""
        return self.order_by("priority", _IS_TIMED, "not_before", "id")


class Task(models.Model):
    """What is to be done."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="tasks")
    title = models.CharField(max_length=300)
    description = models.TextField(blank=True)
    acceptance_criteria = models.TextField(blank=True)
    task_type = models.CharField(max_length=20, choices=TaskType.choices, default=TaskType.FEATURE)
    phase = models.CharField(max_length=20, choices=Phase.choices, default=Phase.BUILD)
    status = models.CharField(max_length=20, choices=TaskStatus.choices, default=TaskStatus.TODO, editable=False)
    status_reason = models.CharField(max_length=300, blank=True, editable=False)
    priority = models.PositiveSmallIntegerField(
        choices=Priority.choices,
        default=Priority.NORMAL,
        validators=[MinValueValidator(Priority.URGENT), MaxValueValidator(Priority.LOWEST)],
    )
    assignee = models.ForeignKey(Agent, on_delete=models.SET_NULL, null=True, blank=True, related_name="tasks")
    parent = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="subtasks")
    due_at = models.DateTimeField(null=True, blank=True)
    not_before = models.DateTimeField(null=True, blank=True)
    unmet_dependencies = models.IntegerField(default=0, editable=False)
    is_held = models.BooleanField(default=False, editable=False)
    """On a ready task: do not start. On a running task: stop at a safe point."""
    cancel_requested_at = models.DateTimeField(null=True, editable=False)
    approved_at = models.DateTimeField(null=True, editable=False)
    """Set while approved work waits to be merged; the scheduler merges it."""
    max_attempts = models.PositiveIntegerField(default=3, validators=[MinValueValidator(1)])
    checks = models.JSONField(default=list, blank=True)
    limits = models.JSONField(default=dict, blank=True)
    is_archived = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    version = models.PositiveIntegerField(default=1, editable=False)

    objects = TaskQuerySet.as_manager()

    class Meta:
        ordering = ["priority", "id"]
        indexes = [
            # Which ready task is next, over all projects?
            models.Index("priority", _IS_TIMED, "not_before", "id", condition=_READY, name="task_ready"),
            # Which ready task of this project is next?
            models.Index(
                "project", "priority", _IS_TIMED, "not_before", "id", condition=_READY, name="task_ready_project"
            ),
            # When does the next ready task come due?
            models.Index(
                fields=["not_before"], condition=_READY & Q(not_before__isnull=False), name="task_ready_later"
            ),
            # The board and the lists: tasks of a project in a status.
            models.Index(fields=["project", "status", "priority", "id"], name="task_board"),
            # The list of all tasks, page by page.
            models.Index(fields=["priority", "id"], condition=Q(is_archived=False), name="task_list"),
            # The list of a project's tasks, whatever their status.
            models.Index(
                fields=["project", "priority", "id"], condition=Q(is_archived=False), name="task_list_project"
            ),
            # What is approved and waits to be merged?
            models.Index(fields=["approved_at"], condition=Q(approved_at__isnull=False), name="task_approved"),
            # Which running tasks has somebody asked to stop?
            models.Index(
                fields=["id"],
                condition=Q(cancel_requested_at__isnull=False) | Q(is_held=True, status=TaskStatus.RUNNING),
                name="task_stop_requested",
            ),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(unmet_dependencies__gte=0), name="task_unmet_not_negative"),
            models.CheckConstraint(condition=Q(status__in=TaskStatus.values), name="task_status_known"),
            models.CheckConstraint(condition=Q(priority__lte=Priority.LOWEST), name="task_priority_known"),
            models.CheckConstraint(condition=Q(max_attempts__gte=1), name="task_attempts_positive"),
            models.CheckConstraint(
                condition=Q(approved_at__isnull=True) | Q(status=TaskStatus.REVIEW), name="task_approved_in_review"
            ),
            models.CheckConstraint(
                condition=Q(is_archived=False) | Q(status__in=sorted(OVER)), name="task_archived_when_over"
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def key(self) -> str:
        """The name of the task in branches, folders and commit messages."""
        return key_of(self.pk)


def key_of(task_id: int) -> str:
    """Return the key of the task with this id."""
    return f"task-{task_id}"


class TaskDependency(models.Model):
    """`task` starts only when `depends_on` is done."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="dependencies")
    depends_on = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="dependents")
    kind = models.CharField(max_length=20, choices=DependencyKind.choices, default=DependencyKind.FINISH_TO_START)

    class Meta:
        verbose_name_plural = "task dependencies"
        indexes = [
            # Who waits for this task?
            models.Index(fields=["depends_on", "task"], name="dependency_children"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["task", "depends_on"], name="dependency_once"),
            models.CheckConstraint(condition=~Q(task=F("depends_on")), name="dependency_not_on_itself"),
        ]

    def __str__(self) -> str:
        return f"{self.task_id} after {self.depends_on_id}"


class Document(models.Model):
    """A text of the project that agents are given: its rules, specifications, notes."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="documents")
    path = models.CharField(max_length=500)
    title = models.CharField(max_length=200)
    doc_type = models.CharField(max_length=20, choices=DocumentType.choices, default=DocumentType.NOTE)
    body = models.TextField(blank=True)
    is_mandatory = models.BooleanField(default=False)
    tags = models.JSONField(default=list, blank=True)
    content_hash = models.CharField(max_length=64, blank=True, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        ordering = ["path"]
        constraints = [models.UniqueConstraint(fields=["project", "path"], name="document_path_once_per_project")]

    def __str__(self) -> str:
        return self.title


class Comment(models.Model):
    """What somebody says about a task, the diff of a run, or a document."""

    document = models.ForeignKey(Document, on_delete=models.CASCADE, null=True, blank=True, related_name="comments")
    task = models.ForeignKey(Task, on_delete=models.CASCADE, null=True, blank=True, related_name="comments")
    run_id = models.BigIntegerField(null=True, blank=True)
    """The run whose diff `anchor` points into; a plain id, since runs stand above this app."""
    anchor = models.CharField(max_length=600, blank=True, help_text="`path:line` in the diff or the document.")
    body = models.TextField()
    author = models.CharField(max_length=200)
    status = models.CharField(max_length=20, choices=CommentStatus.choices, default=CommentStatus.OPEN)
    created_at = models.DateTimeField(auto_now_add=True)
    version = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        ordering = ["id"]
        indexes = [
            # What was said about the diff of this run?
            models.Index(fields=["run_id"], condition=Q(run_id__isnull=False), name="comment_run"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(document__isnull=False, task__isnull=True) | Q(document__isnull=True, task__isnull=False),
                name="comment_about_one_thing",
            ),
        ]

    def __str__(self) -> str:
        return self.body[:60]
