"""The auditor: what the tables promise each other, counted anew. Reads only, and is right while schedulers work.

It looks at one snapshot of the database: nothing that is committed meanwhile shows in one table and not in the other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, F, Model, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from inbox.models import InboxItem
from inbox.states import ItemType
from orchestration.graph import find_cycle
from orchestration.models import Task, TaskDependency
from orchestration.states import OVER, TaskStatus
from runtime import slots
from runtime.models import Slot, TaskRun
from runtime.states import RunStatus

UNMET_DEPENDENCIES = "unmet_dependencies"
SLOT = "slot"


@dataclass(frozen=True)
class Difference:
    """What one row says, and what it should say by what the others say."""

    what: str
    row: str
    """Such as `task:7`."""
    expected: str | int
    found: str | int

    def __str__(self) -> str:
        return f"{self.row} {self.what}: expected {self.expected}, found {self.found}"


def differences() -> list[Difference]:
    """Return everything that does not hold; nothing, as long as the system keeps its promises."""
    return _asked(_GRAPH + _RUNS)


def graph_differences() -> list[Difference]:
    """Return what does not hold between tasks alone: counters, cycles, projects."""
    return _asked(_GRAPH)


def held_slots() -> Counter[str]:
    """Return how many runs hold each slot, counted from the runs."""
    runs = TaskRun.objects.holding_slots().values_list("task__project_id", "agent_id")
    return Counter(key for project_id, agent_id in runs for key in slots.keys(project_id, agent_id))


def wrong_counters(tasks: QuerySet[Task]) -> list[tuple[int, int, int]]:
    """Return the tasks that count their unmet dependencies wrongly: id, what the edges say, what the task says."""
    edges = TaskDependency.objects.filter(task=OuterRef("pk")).exclude(depends_on__status=TaskStatus.DONE)
    counted = edges.order_by().values("task").annotate(count=Count("pk")).values("count")
    wrong = tasks.annotate(expected=Coalesce(Subquery(counted), 0)).exclude(unmet_dependencies=F("expected"))
    return list(wrong.order_by("pk").values_list("pk", "expected", "unmet_dependencies"))


@contextmanager
def _snapshot() -> Iterator[None]:
    """Let all reads of the block see the same moment. Within a transaction, that decides."""
    if connection.in_atomic_block:
        yield
    elif connection.vendor == "postgresql":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
    else:
        # Not `atomic`: that would take the write lock, and schedulers would have to wait.
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            try:
                yield
            finally:
                cursor.execute("ROLLBACK")


def _asked(checks: tuple[Callable[[], Iterator[Difference]], ...]) -> list[Difference]:
    with _snapshot():
        return [difference for check in checks for difference in check()]


def _counters() -> Iterator[Difference]:
    for id_, expected, found in wrong_counters(Task.objects.all()):
        yield Difference(UNMET_DEPENDENCIES, f"task:{id_}", expected, found)


def _cycles() -> Iterator[Difference]:
    edges = TaskDependency.objects.values_list("task_id", "depends_on_id")
    above = Task.objects.filter(parent__isnull=False).values_list("pk", "parent_id")
    for what, pairs in (("dependency_cycle", edges), ("parent_cycle", above)):
        parents: defaultdict[int, list[int]] = defaultdict(list)
        for child, parent in pairs.order_by("pk").iterator():
            parents[child].append(parent)
        if cycle := find_cycle(parents):
            yield Difference(what, f"task:{cycle[0]}", "no cycle", " > ".join(map(str, [*cycle, cycle[0]])))


def _projects() -> Iterator[Difference]:
    belonging: list[tuple[type[Model], str, str]] = [
        (TaskDependency, "task__project", "depends_on__project"),
        (Task, "project", "parent__project"),
        (Task, "project", "assignee__project"),
        (TaskRun, "task__project", "agent__project"),
        (InboxItem, "project", "task__project"),
    ]
    for model, one, other in belonging:
        apart = model._default_manager.filter(**{f"{other}__isnull": False}).exclude(**{one: F(other)})
        for id_, expected, found in apart.order_by("pk").values_list("pk", one, other):
            name = f"{_NOUNS[model]}:{id_}"
            yield Difference("cross_project", name, f"project {expected}", f"{other.split('__')[0]} of project {found}")


_NOUNS: dict[type[Model], str] = {TaskDependency: "dependency", Task: "task", TaskRun: "run", InboxItem: "item"}


def _archives() -> Iterator[Difference]:
    yield from _tasks(Q(is_archived=True) & ~Q(status__in=OVER), "archived", "done, failed or cancelled", "status")


def _approvals() -> Iterator[Difference]:
    approved = Q(approved_at__isnull=False) & ~Q(status=TaskStatus.REVIEW)
    yield from _tasks(approved, "approved_at", TaskStatus.REVIEW, "status")


def _slots() -> Iterator[Difference]:
    expected, found = held_slots(), dict(Slot.objects.values_list("key", "running"))
    for key in sorted(expected.keys() | found.keys()):
        if expected[key] != found.get(key, 0):
            yield Difference(SLOT, f"slot:{key}", expected[key], found.get(key, 0))


def _statuses() -> Iterator[Difference]:
    """A task is running while a run of it needs nobody, and blocked while one waits for a person."""
    active = TaskRun.objects.active().order_by("pk").values_list("task_id", "status", "task__status")
    for task_id, status, found in active:
        expected = TaskStatus.BLOCKED if status == RunStatus.INTERRUPTED else TaskStatus.RUNNING
        if found != expected:
            yield Difference("status", f"task:{task_id}", f"{expected}, with a run {status}", found)
    idle = Q(status=TaskStatus.RUNNING) & ~_has_run(TaskRun.objects.active())
    yield from _tasks(idle, "status", "an active run", "status")
    stopping = Q(cancel_requested_at__isnull=False) & ~_has_run(TaskRun.objects.holding_slots())
    yield from _tasks(stopping, "cancel_requested_at", "a run to stop", "status")


def _starts() -> Iterator[Difference]:
    """Nothing begins before what it waits for is done."""
    begun = Q(status__in=[TaskStatus.RUNNING, TaskStatus.REVIEW, TaskStatus.DONE])
    yield from _tasks(begun & Q(unmet_dependencies__gt=0), "started", "no unmet dependency", "unmet_dependencies")


def _runs() -> Iterator[Difference]:
    several = TaskRun.objects.active().order_by("task_id").values_list("task_id").annotate(count=Count("pk"))
    for task_id, count in several.filter(count__gt=1):
        yield Difference("active_runs", f"task:{task_id}", 1, count)
    is_scheduled = Q(status=RunStatus.RETRY_SCHEDULED)
    has_time = Q(next_retry_at__isnull=False)
    for run in TaskRun.objects.filter(is_scheduled ^ has_time).order_by("pk"):
        expected = "a time" if run.status == RunStatus.RETRY_SCHEDULED else "none"
        yield Difference("next_retry_at", f"run:{run.pk}", expected, str(run.next_retry_at))


def _reviews() -> Iterator[Difference]:
    """Work that waits for a person is in the inbox, and nothing else is there as such."""
    items = InboxItem.objects.open().filter(item_type=ItemType.TASK_COMPLETED)
    waiting = Q(status=TaskStatus.REVIEW, approved_at__isnull=True)
    unasked = waiting & ~Q(pk__in=items.filter(task__isnull=False).values("task"))
    yield from _tasks(unasked, "review", "an open item", "status")
    for item in items.exclude(task__in=Task.objects.filter(waiting)).select_related("task").order_by("pk"):
        found = item.task.status if item.task else "no task"
        yield Difference("review", f"item:{item.pk}", "a task that waits for a review", found)


def _has_run(runs: QuerySet[TaskRun]) -> Q:
    return Q(pk__in=runs.values("task"))


def _tasks(wrong: Q, what: str, expected: str, column: str) -> Iterator[Difference]:
    """Report the tasks that are wrong, with what their column holds."""
    found: QuerySet[Task, tuple[Any, ...]] = Task.objects.filter(wrong).order_by("pk").values_list("pk", column)
    for id_, value in found:
        yield Difference(what, f"task:{id_}", expected, value)


_GRAPH = (_counters, _cycles, _projects, _archives, _approvals)
_RUNS = (_slots, _statuses, _starts, _runs, _reviews)
