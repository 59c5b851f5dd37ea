"""A database with many tasks, copied in the database itself: a million takes a minute, not an hour."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import connection, models

from orchestration.models import Agent, Project, Task, TaskDependency
from orchestration.states import TaskStatus
from runtime.models import TaskRun
from runtime.states import RunStatus
from security.roles import Role
from security.services import create_token

ACTOR = "benchmark"
PROJECTS = 4
# Of a hundred tasks so many are in these statuses, the others done.
SHARES = {TaskStatus.TODO: 30, TaskStatus.RUNNING: 1, TaskStatus.REVIEW: 4, TaskStatus.FAILED: 5}


@dataclass(frozen=True, slots=True)
class Contents:
    """What a filled database holds."""

    size: int
    project: int
    """The project whose tasks are asked for."""
    tasks: list[int]
    """Some of its tasks that are to be done, by id."""
    token: str
    """The text of an API token of an operator who sees all projects."""


def fill(size: int) -> Contents:
    """Insert `size` tasks in a few projects, each but the first waiting for one before it, and those at work with a run."""
    projects = [_project(number) for number in range(PROJECTS)]
    agents = [Agent.objects.create(project=project, name="Bee", provider="noop") for project in projects]
    template = Task.objects.create(
        project=projects[0],
        title="Paginate the list of orders",
        description="The list of orders is loaded whole, and with a few thousand of them the page takes seconds. " * 3,
        acceptance_criteria="A page holds fifty orders and is there within 200 ms; the next one has a link.",
        checks=["pytest -q"],
        limits={"turns": 50, "usd": 2.5},
    )
    first = template.pk + 1
    _copy_task(template, size - 1, first_project=projects[0].pk, first_agent=agents[0].pk)
    _wait_for_earlier(first)
    _run_those_at_work(agents[0])
    _analyse()
    wanted = Task.objects.filter(project=projects[0], status=TaskStatus.TODO).order_by("id")
    return Contents(size, projects[0].pk, list(wanted.values_list("pk", flat=True)[:20_000]), _token())


def _project(number: int) -> Project:
    return Project.objects.create(name=f"Hive {number}", slug=f"hive-{number}", root_path=str(settings.BBB_HOME))


def _token() -> str:
    user, _ = User.objects.get_or_create(username="reader")
    user.groups.add(Group.objects.get_or_create(name=Role.OPERATOR.group)[0])
    return create_token(user, name="benchmark", scopes=["write"], actor=ACTOR)[1]


def _copy_task(template: Task, count: int, *, first_project: int, first_agent: int) -> None:
    """Copy a task in the database itself: whatever columns a task has, the copies have them too."""
    different = {
        "project_id": f"{first_project} + n.i %% {PROJECTS}",
        "assignee_id": f"{first_agent} + n.i %% {PROJECTS}",
        # Not in step with the projects.
        "priority": f"(n.i / {PROJECTS}) %% 5",
        "status": f"CASE {_statuses()} ELSE '{TaskStatus.DONE}' END",
    }
    columns = [str(field.column) for field in Task._meta.concrete_fields if not field.primary_key]
    chosen = [different.get(column, f"t.{connection.ops.quote_name(column)}") for column in columns]
    # Names and numbers of our own making, here and below.
    copies = f"SELECT {', '.join(chosen)} FROM {_table(Task)} t, n WHERE t.id = {template.pk}"  # noqa: S608  (names and numbers of ours)
    _insert(Task, columns, copies, count)


def _statuses() -> str:
    cases, reached = [], 0
    for status, share in SHARES.items():
        reached += share
        # 37 scatters the statuses over the ids; the number in front is the same for all projects and priorities.
        cases.append(f"WHEN (n.i / {PROJECTS * 5}) * 37 %% 100 < {reached} THEN '{status}'")
    return " ".join(cases)


def _wait_for_earlier(first: int) -> None:
    columns = ["task_id", "depends_on_id", "kind"]
    earlier = f"SELECT id, id - {PROJECTS}, 'finish_to_start' FROM {_table(Task)} WHERE id >= {first + PROJECTS}"  # noqa: S608  (names and numbers of ours)
    _insert(TaskDependency, columns, earlier)
    waits = TaskDependency.objects.filter(task=models.OuterRef("pk")).exclude(depends_on__status=TaskStatus.DONE)
    Task.objects.filter(models.Exists(waits), status=TaskStatus.TODO).update(unmet_dependencies=1)


def _run_those_at_work(agent: Agent) -> None:
    at_work = Task.objects.filter(status=TaskStatus.RUNNING).values_list("pk", flat=True)
    TaskRun.objects.bulk_create(
        (
            TaskRun(task_id=task, agent=agent, attempt=1, status=RunStatus.RUNNING, idempotency_key=f"benchmark:{task}")
            for task in at_work
        ),
        batch_size=1000,
    )


def _insert(model: type[models.Model], columns: list[str], select: str, count: int = 0) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s)"
    if connection.vendor == "postgresql":
        numbers = "WITH n(i) AS (SELECT generate_series(1, %s))"
    names = ", ".join(map(connection.ops.quote_name, columns))
    with connection.cursor() as cursor:
        cursor.execute(f"{numbers} INSERT INTO {_table(model)} ({names}) {select}", [count])


def _table(model: type[models.Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def _analyse() -> None:
    """Gather what the planner knows, as autovacuum does on PostgreSQL; the product leaves SQLite without."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
