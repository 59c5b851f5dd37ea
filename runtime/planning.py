"""The snapshot the picking policy looks at. Reads only; bounded by the number of projects, never of tasks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from datetime import datetime

from django.conf import settings
from django.db.models import Count, F, Q

from llm.models import Breaker
from orchestration.models import Agent, Project, Task
from orchestration.scheduler import AgentRoom, Candidate, ProjectRoom, Room
from orchestration.states import AgentStatus, TaskStatus
from runtime import allowances, breakers, leases, slots
from runtime.allowances import Day, spent
from runtime.models import Slot, TaskRun
from runtime.states import RunStatus

# More than this is not started in one go: a long write transaction starves the other writers.
BATCH = 16


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
    chosen = list(Project.objects.filter(is_archived=False)) if projects is None else list(projects)
    now = leases.now()
    limits = breakers.keeping_back(breakers.here(), now) if limits is None else limits
    running = dict(Slot.objects.values_list("key", "running"))
    agents, day = defaultdict(list), Day()
    for agent in Agent.objects.filter(project__in=chosen):
        agents[agent.project_id].append(_agent_room(agent, running, missing, limits, spent(day.left(agent))))
    spent_in_all = spent(day.left_in_all())
    reviews = _waiting_in_review(chosen)
    return Room(
        now=now,
        free=settings.MAX_PARALLEL_RUNS - running.get(slots.GLOBAL, 0),
        projects={
            project.pk: ProjectRoom(
                id=project.pk,
                is_paused=project.is_paused,
                free=project.max_parallel_runs - running.get(slots.project_key(project.pk), 0),
                spent=spent_in_all or spent(day.left(project)),
                review_left=project.max_in_review - reviews.get(project.pk, 0) if project.max_in_review else None,
                agents=tuple(agents[project.pk]),
            )
            for project in chosen
        },
    )


def candidates(room_: Room) -> list[Candidate]:
    """Return what might start, the first first: queued runs, then tasks, fair over the projects."""
    runs, tasks = _queued_runs(room_), _tasks(room_)
    left = allowances.tasks_left([*(run.task for run in runs), *tasks])
    unit = {task_id: spent(amounts) for task_id, amounts in left.items()}
    return [*(_of_run(run, unit) for run in runs), *(_of_task(task, unit) for task in tasks)]


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


def _waiting_in_review(projects: list[Project]) -> dict[int, int]:
    capped = [project.pk for project in projects if project.max_in_review]
    counted = (
        Task.objects.filter(project__in=capped, status=TaskStatus.REVIEW, approved_at__isnull=True)
        .values("project")
        .annotate(count=Count("id"))
        .order_by()
    )
    return {row["project"]: row["count"] for row in counted} if capped else {}


def _queued_runs(room_: Room) -> list[TaskRun]:
    """Return the first queued runs, leaving out those that could not go on now: they would hide the others."""
    able = [agent for project in room_.projects.values() if _has_room(project) for agent in _able_agents(project)]
    return list(TaskRun.objects.unowned().filter(task__is_held=False, agent__in=able).select_related("task")[:BATCH])


def _tasks(room_: Room) -> list[Task]:
    """Take the first tasks of each project in turn, the project served longest ago first."""
    queues = [queue for project in _fair_order(room_) if (queue := _first_tasks(room_.projects[project]))]
    found: list[Task] = []
    while queues and len(found) < BATCH:
        found += [queue.pop(0) for queue in queues]
        queues = [queue for queue in queues if queue]
    return found


def _fair_order(room_: Room) -> list[int]:
    open_ = [project.id for project in room_.projects.values() if _has_room(project)]
    served = Project.objects.filter(pk__in=open_).order_by(F("last_served_at").asc(nulls_first=True), "id")
    return list(served.values_list("pk", flat=True)) if room_.free > 0 else []


def _first_tasks(project: ProjectRoom) -> list[Task]:
    """Return the project's next tasks, leaving out those whose agent could not take them now."""
    able = _able_agents(project)
    if not able:
        return []
    return list(
        Task.objects.due().filter(Q(assignee__isnull=True) | Q(assignee__in=able), project_id=project.id)[:BATCH]
    )


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
    is_waiting = TaskRun.objects.unowned().filter(task__is_held=False).exists() or Task.objects.due().exists()
    return min(resets) if is_waiting else None
