"""The auditor: what the tables promise each other, counted anew. Reads only, and is right while schedulers work.

It looks at one snapshot of the database: nothing that is committed meanwhile shows in one table and not in the other.
Its questions are always the same, so they are put into words once.
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
from sql.prepared import PreparedQuery

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
    return Counter(key for project_id, agent_id in _holding() for key in slots.keys(project_id, agent_id))


_holding = PreparedQuery(lambda: TaskRun.objects.holding_slots().values_list("task__project_id", "agent_id"))


def wrong_counters(tasks: QuerySet[Task]) -> list[tuple[int, int, int]]:
    """Return the tasks that count their unmet dependencies wrongly: id, what the edges say, what the task says."""
    return list(_counting_wrongly(tasks))


def _counting_wrongly(tasks: QuerySet[Task]) -> QuerySet[Any, Any]:
    edges = TaskDependency.objects.filter(task=OuterRef("pk")).exclude(depends_on__status=TaskStatus.DONE)
    counted = edges.order_by().values("task").annotate(count=Count("pk")).values("count")
    wrong = tasks.annotate(expected=Coalesce(Subquery(counted), 0)).exclude(unmet_dependencies=F("expected"))
    return wrong.order_by("pk").values_list("pk", "expected", "unmet_dependencies")


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


_wrong_counters = PreparedQuery(lambda: _counting_wrongly(Task.objects.all()))


def _counters() -> Iterator[Difference]:
    for id_, expected, found in _wrong_counters():
        yield Difference(UNMET_DEPENDENCIES, f"task:{id_}", expected, found)


_edges = PreparedQuery(lambda: TaskDependency.objects.order_by("pk").values_list("task_id", "depends_on_id"))
_above = PreparedQuery(lambda: Task.objects.filter(parent__isnull=False).order_by("pk").values_list("pk", "parent_id"))


def _cycles() -> Iterator[Difference]:
    for what, pairs in (("dependency_cycle", _edges), ("parent_cycle", _above)):
        parents: defaultdict[int, list[int]] = defaultdict(list)
        for child, parent in pairs():
            parents[child].append(parent)
        if cycle := find_cycle(parents):
            yield Difference(what, f"task:{cycle[0]}", "no cycle", " > ".join(map(str, [*cycle, cycle[0]])))


def _apart(model: type[Model], one: str, other: str) -> PreparedQuery[Any]:
    """Ask for rows with their projects, where two of their neighbours are of two."""

    def build() -> QuerySet[Any, Any]:
        apart = model._default_manager.filter(**{f"{other}__isnull": False}).exclude(**{one: F(other)})
        return apart.order_by("pk").values_list("pk", one, other)

    return PreparedQuery(build)


_PROJECTS = [
    (noun, other.split("__")[0], _apart(model, one, other))
    for noun, model, one, other in (
        ("dependency", TaskDependency, "task__project", "depends_on__project"),
        ("task", Task, "project", "parent__project"),
        ("task", Task, "project", "assignee__project"),
        ("run", TaskRun, "task__project", "agent__project"),
        ("item", InboxItem, "project", "task__project"),
    )
]


def _projects() -> Iterator[Difference]:
    for noun, neighbour, apart in _PROJECTS:
        for id_, expected, found in apart():
            yield Difference("cross_project", f"{noun}:{id_}", f"project {expected}", f"{neighbour} of project {found}")


def _tasks(wrong: Callable[[], Q], what: str, expected: str, column: str) -> Callable[[], Iterator[Difference]]:
    """Report the tasks that are wrong, with what their column holds."""
    found = PreparedQuery(lambda: Task.objects.filter(wrong()).order_by("pk").values_list("pk", column))

    def report() -> Iterator[Difference]:
        for id_, value in found():
            yield Difference(what, f"task:{id_}", expected, value)

    return report


def _has_run(runs: QuerySet[TaskRun]) -> Q:
    return Q(pk__in=runs.values("task"))


_archives = _tasks(
    lambda: Q(is_archived=True) & ~Q(status__in=sorted(OVER)), "archived", "done, failed or cancelled", "status"
)
_approvals = _tasks(
    lambda: Q(approved_at__isnull=False) & ~Q(status=TaskStatus.REVIEW), "approved_at", TaskStatus.REVIEW, "status"
)


def _slots() -> Iterator[Difference]:
    expected, found = held_slots(), dict(_counted())
    for key in sorted(expected.keys() | found.keys()):
        if expected[key] != found.get(key, 0):
            yield Difference(SLOT, f"slot:{key}", expected[key], found.get(key, 0))


_counted = PreparedQuery(lambda: Slot.objects.values_list("key", "running"))


def _statuses() -> Iterator[Difference]:
    """A task is running while a run of it needs nobody, and blocked while one waits for a person."""
    for task_id, status, found in _active():
        expected = TaskStatus.BLOCKED if status == RunStatus.INTERRUPTED else TaskStatus.RUNNING
        if found != expected:
            yield Difference("status", f"task:{task_id}", f"{expected}, with a run {status}", found)


_active = PreparedQuery(
    lambda: TaskRun.objects.active().order_by("pk").values_list("task_id", "status", "task__status")
)
_idle = _tasks(
    lambda: Q(status=TaskStatus.RUNNING) & ~_has_run(TaskRun.objects.active()), "status", "an active run", "status"
)
_stopping = _tasks(
    lambda: Q(cancel_requested_at__isnull=False) & ~_has_run(TaskRun.objects.holding_slots()),
    "cancel_requested_at",
    "a run to stop",
    "status",
)
# Nothing begins before what it waits for is done.
_starts = _tasks(
    lambda: Q(status__in=[TaskStatus.RUNNING, TaskStatus.REVIEW, TaskStatus.DONE]) & Q(unmet_dependencies__gt=0),
    "started",
    "no unmet dependency",
    "unmet_dependencies",
)


def _runs() -> Iterator[Difference]:
    for task_id, count in _several():
        yield Difference("active_runs", f"task:{task_id}", 1, count)
    for run in _timed_wrongly():
        expected = "a time" if run.status == RunStatus.RETRY_SCHEDULED else "none"
        yield Difference("next_retry_at", f"run:{run.pk}", expected, str(run.next_retry_at))


_several = PreparedQuery(
    lambda: (
        TaskRun.objects.active()
        .order_by("task_id")
        .values_list("task_id")
        .annotate(count=Count("pk"))
        .filter(count__gt=1)
    )
)
_timed_wrongly = PreparedQuery(
    lambda: TaskRun.objects.filter(Q(status=RunStatus.RETRY_SCHEDULED) ^ Q(next_retry_at__isnull=False)).order_by("pk")
)


def _waiting() -> Q:
    return Q(status=TaskStatus.REVIEW, approved_at__isnull=True)


def _open_items() -> QuerySet[InboxItem]:
    return InboxItem.objects.open().filter(item_type=ItemType.TASK_COMPLETED)


# Work that waits for a person is in the inbox, and nothing else is there as such.
_unasked = _tasks(
    lambda: _waiting() & ~Q(pk__in=_open_items().filter(task__isnull=False).values("task")),
    "review",
    "an open item",
    "status",
)
_asked_in_vain = PreparedQuery(
    lambda: _open_items().exclude(task__in=Task.objects.filter(_waiting())).select_related("task").order_by("pk")
)


def _reviews() -> Iterator[Difference]:
    for item in _asked_in_vain():
        found = item.task.status if item.task else "no task"
        yield Difference("review", f"item:{item.pk}", "a task that waits for a review", found)


_GRAPH = (_counters, _cycles, _projects, _archives, _approvals)
_RUNS = (_slots, _statuses, _idle, _stopping, _starts, _runs, _unasked, _reviews)
