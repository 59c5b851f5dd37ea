"""The snapshot the picking policy looks at. Reads only; bounded by the number of projects, never of tasks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Mapping
from datetime import datetime

from django.conf import settings
from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery

from llm.models import Breaker
from orchestration.models import Agent, Project, Task
from orchestration.scheduler import AgentRoom, Candidate, ProjectRoom, Room
from orchestration.states import AgentStatus, TaskStatus
from runtime import allowances, breakers, leases, slots
from runtime.allowances import Day, spent
from runtime.models import Slot, TaskRun
from runtime.states import RunStatus
from sql.prepared import PreparedQuery

# More than this is not started in one go: a long write transaction starves the other writers.
BATCH = 64
# So many rows more than there is room for are looked at: some may not be able to start.
_SPARE = 16
# So often is looked at most, each time without what was found to have used up its own limits.
_LOOKS = 9

# What the policy looks at in a task, and in the queued run of one. The rest of a row costs more to read than to find.
_OF_TASK = ("project_id", "status", "assignee_id", "not_before", "limits")
_OF_RUN = ("agent_id", "task_id", *(f"task__{name}" for name in _OF_TASK))


def _firsts_of(
    project: int, agents: Collection[int], leaving_out: Collection[int], now: datetime, *, limit: int
) -> QuerySet[Task]:
    is_for_able = Q(assignee__isnull=True) | Q(assignee__in=agents)
    rows = Task.objects.due(now).filter(is_for_able, project_id=project).exclude(pk__in=leaving_out)
    return rows.only(*_OF_TASK)[:limit]


def _queued_for(agents: Collection[int], leaving_out: Collection[int], *, limit: int) -> QuerySet[TaskRun]:
    waiting = TaskRun.objects.unowned().filter(task__is_held=False, agent__in=agents).exclude(task__in=leaving_out)
    return waiting.select_related("task").only(*_OF_RUN)[:limit]


def _fairly(projects: Collection[int], now: datetime) -> QuerySet[Project, int]:
    # With its order and limit, which keep both databases from looking at more than the first.
    first = Task.objects.due(now).filter(project_id=OuterRef("pk")).values("pk")[:1]
    waiting = Project.objects.filter(pk__in=projects).alias(first=Subquery(first)).filter(first__isnull=False)
    return waiting.order_by(F("last_served_at").asc(nulls_first=True), "id").values_list("pk", flat=True)


_open_projects = PreparedQuery(lambda: Project.objects.filter(is_archived=False))
_agents_of = PreparedQuery(lambda projects: Agent.objects.filter(project__in=projects))
_running = PreparedQuery(lambda: Slot.objects.values_list("key", "running"))
_in_turn = PreparedQuery(_fairly)
_first_tasks_of = PreparedQuery(_firsts_of)
_queued_runs_for = PreparedQuery(_queued_for)


def room(
    projects: Iterable[Project] | None = None,
    *,
    missing: Container[str] = (),
    limits: Mapping[str, Breaker] | None = None,
) -> Room:
    """Return what is free now, for all projects that are not archived or for the given ones.

    `missing` names the providers whose client cannot work here, `limits` the breakers that keep others from starting;
    without, those of this host.
    """
    chosen = _open_projects() if projects is None else list(projects)
    now = leases.now()
    limits = breakers.keeping_back(breakers.here(), now) if limits is None else limits
    running = dict(_running())
    agents, day = defaultdict(list), Day()
    for agent in _agents_of([project.pk for project in chosen]):
        agents[agent.project_id].append(_agent_room(agent, running, missing, limits, spent(day.left(agent))))
    spent_in_all = spent(day.left_in_all())
    reviews = waiting_in_review(chosen)
    return Room(
        now=now,
        free=settings.MAX_PARALLEL_RUNS - running.get(slots.GLOBAL, 0),
        projects={
            project.pk: ProjectRoom(
                id=project.pk,
                is_paused=project.is_paused,
                free=project.max_parallel_runs - running.get(slots.project_key(project.pk), 0),
                spent=spent_in_all or spent(day.left(project)),
                review_left=review_left(project, reviews, running.get(slots.project_key(project.pk), 0)),
                agents=tuple(agents[project.pk]),
            )
            for project in chosen
        },
    )


def candidates(room_: Room) -> list[Candidate]:
    """Return what might start, the first first: queued runs, then tasks, fair over the projects."""
    if room_.free <= 0:
        return []
    used_up: set[int] = set()
    for _ in range(_LOOKS):
        found, more = _look(room_, used_up)
        if not more:
            break
        used_up |= more
    return found


def _look(room_: Room, used_up: set[int]) -> tuple[list[Candidate], set[int]]:
    """Return what might start but these tasks, and which of it has used up its own limits: it would hide the others."""
    runs, tasks = _queued_runs(room_, used_up), _tasks(room_, used_up)
    left = allowances.tasks_left([*(run.task for run in runs), *tasks])
    unit = {task_id: spent(amounts) for task_id, amounts in left.items()}
    found = [*(_of_run(run, unit) for run in runs), *(_of_task(task, unit) for task in tasks)]
    return found, {candidate.task_id for candidate in found if candidate.spent}


def _of_run(run: TaskRun, spent_units: Mapping[int, str]) -> Candidate:
    return Candidate(
        task_id=run.task_id,
        project_id=run.task.project_id,
        status=run.task.status,
        assignee_id=run.agent_id,
        run_id=run.pk,
        spent=spent_units.get(run.task_id, ""),
    )


def _of_task(task: Task, spent_units: Mapping[int, str]) -> Candidate:
    return Candidate(
        task_id=task.pk,
        project_id=task.project_id,
        status=task.status,
        assignee_id=task.assignee_id,
        not_before=task.not_before,
        spent=spent_units.get(task.pk, ""),
    )


def candidate_of(task: Task) -> Candidate:
    """Return one task as the policy sees it, whatever its state."""
    run = TaskRun.objects.active().filter(task=task).first()
    return Candidate(
        task_id=task.pk,
        project_id=task.project_id,
        status=task.status,
        assignee_id=run.agent_id if run else task.assignee_id,
        is_held=task.is_held,
        unmet_dependencies=task.unmet_dependencies,
        not_before=task.not_before,
        run_id=run.pk if run else None,
        retry_at=run.next_retry_at if run else None,
        spent=spent(allowances.task_left(task)),
    )


def _agent_room(
    agent: Agent, running: dict[str, int], missing: Container[str], limits: Container[str], spent_unit: str
) -> AgentRoom:
    return AgentRoom(
        id=agent.pk,
        project_id=agent.project_id,
        status=agent.status,
        free=agent.max_parallel_runs - running.get(slots.agent_key(agent.pk), 0),
        has_client=agent.provider not in missing,
        is_limited=agent.provider in limits,
        spent=spent_unit,
    )


def review_left(project: Project, reviews: Mapping[int, int], running: int) -> int | None:
    """Return how many tasks may begin before a project's reviews are full; None without a cap. What runs comes to review too."""
    return project.max_in_review - reviews.get(project.pk, 0) - running if project.max_in_review else None


def waiting_in_review(projects: Iterable[Project]) -> dict[int, int]:
    """Return how many tasks wait for a review, by project, where there is a cap on them."""
    capped = [project.pk for project in projects if project.max_in_review]
    if not capped:
        return {}
    waiting = Task.objects.filter(project__in=capped, status=TaskStatus.REVIEW, approved_at__isnull=True)
    counted = waiting.values("project").annotate(count=Count("id")).order_by()
    return {row["project"]: row["count"] for row in counted}


def _limit(room_: Room) -> int:
    """Return how many rows are looked at: what there is room for, and some that could not start."""
    return min(BATCH, room_.free + _SPARE)


def _queued_runs(room_: Room, used_up: Collection[int]) -> list[TaskRun]:
    """Return the first queued runs, leaving out those that could not go on now: they would hide the others."""
    able = [agent for project in room_.projects.values() if _has_room(project) for agent in _able_agents(project)]
    return _queued_runs_for(able, used_up, limit=_limit(room_))


def _tasks(room_: Room, used_up: Collection[int]) -> list[Task]:
    """Take the first tasks of each project in turn, the project served longest ago first."""
    firsts = (_first_tasks(room_, room_.projects[project], used_up) for project in _fair_order(room_))
    queues = [queue for queue in firsts if queue]
    found: list[Task] = []
    while queues and len(found) < _limit(room_):
        found += [queue.pop(0) for queue in queues]
        queues = [queue for queue in queues if queue]
    return found


def _fair_order(room_: Room) -> list[int]:
    """Return the open projects that have a task which is due. Of the others no tasks are asked for."""
    open_ = [project.id for project in room_.projects.values() if _has_room(project) and _able_agents(project)]
    if len(open_) < 2:
        return open_
    return _in_turn(open_, room_.now)


def _first_tasks(room_: Room, project: ProjectRoom, used_up: Collection[int]) -> list[Task]:
    """Return the project's next tasks, leaving out those whose agent could not take them now."""
    return _first_tasks_of(project.id, _able_agents(project), used_up, room_.now, limit=_limit(room_))


def _has_room(project: ProjectRoom) -> bool:
    return (
        not project.is_paused
        and project.free > 0
        and not project.spent
        and (project.review_left is None or project.review_left > 0)
    )


def _able_agents(project: ProjectRoom) -> list[int]:
    active = [agent for agent in project.agents if agent.status == AgentStatus.ACTIVE and agent.has_client]
    return [agent.id for agent in active if agent.free > 0 and not agent.spent and not agent.is_limited]


def next_due() -> float | None:
    """Return in how many seconds the next retry, `not_before` or reset time comes due; None when nothing waits for time."""
    now = leases.now()
    # A retry of a held task is not promoted, however late it is: it would keep the loop from sleeping.
    retries = TaskRun.objects.filter(status=RunStatus.RETRY_SCHEDULED, task__is_held=False)
    retry = retries.order_by("next_retry_at").first()
    start = Task.objects.next_due(now).first()
    moments = (retry and retry.next_retry_at, start and start.not_before, _next_reset(now))
    times = [moment for moment in moments if moment]
    return max(0.0, (min(times) - now).total_seconds()) if times else None


def _next_reset(now: datetime) -> datetime | None:
    """Return when the next breaker is half open, if anything waits that could start then."""
    resets = [row.reset_at for row in breakers.here().values() if row.reset_at and row.reset_at > now]
    if not resets:
        return None
    is_waiting = TaskRun.objects.unowned().filter(task__is_held=False).exists() or Task.objects.due(now).exists()
    return min(resets) if is_waiting else None
