"""The snapshot the picking policy looks at. Reads only; bounded by the number of projects, never of tasks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable
from decimal import Decimal

from django.conf import settings
from django.db.models import Count, F, Q, Sum
from django.utils import timezone

from llm.queries import spent_on
from orchestration.models import Agent, Project, Task
from orchestration.scheduler import AgentRoom, Candidate, ProjectRoom, Room
from orchestration.states import AgentStatus, TaskStatus
from runtime import leases, slots
from runtime.models import Slot, TaskRun
from runtime.states import RunStatus

# More than this is not started in one go: a long write transaction starves the other writers.
BATCH = 16


def room(projects: Iterable[Project] | None = None, *, missing: Container[str] = ()) -> Room:
    """Return what is free now, for all projects that are not archived or for the given ones.

    `missing` names the providers whose client cannot work here.
    """
    chosen = list(Project.objects.filter(is_archived=False)) if projects is None else list(projects)
    running = dict(Slot.objects.values_list("key", "running"))
    agents = defaultdict(list)
    for agent in Agent.objects.filter(project__in=chosen):
        agents[agent.project_id].append(_agent_room(agent, running, missing))
    reviews = _waiting_in_review(chosen)
    return Room(
        now=leases.now(),
        free=settings.MAX_PARALLEL_RUNS - running.get(slots.GLOBAL, 0),
        projects={
            project.pk: ProjectRoom(
                id=project.pk,
                is_paused=project.is_paused,
                free=project.max_parallel_runs - running.get(slots.project_key(project.pk), 0),
                budget_left_usd=budget_left(project),
                review_left=project.max_in_review - reviews.get(project.pk, 0) if project.max_in_review else None,
                agents=tuple(agents[project.pk]),
            )
            for project in chosen
        },
    )


def candidates(room_: Room) -> list[Candidate]:
    """Return what might start, the first first: queued runs, then tasks, fair over the projects."""
    return [*_queued_runs(room_), *_tasks(room_)]


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
    )


def budget_left(project: Project) -> Decimal | None:
    """Return today's budget less what is spent and what running work has reserved; None where there is no budget."""
    if project.daily_budget_usd is None:
        return None
    reserved = TaskRun.objects.holding_slots().filter(task__project=project).aggregate(sum=Sum("cost_cap_usd"))["sum"]
    return project.daily_budget_usd - spent_on(timezone.now().date(), project.pk) - (reserved or Decimal(0))


def _agent_room(agent: Agent, running: dict[str, int], missing: Container[str]) -> AgentRoom:
    return AgentRoom(
        id=agent.pk,
        project_id=agent.project_id,
        status=agent.status,
        free=agent.max_parallel_runs - running.get(slots.agent_key(agent.pk), 0),
        has_client=agent.provider not in missing,
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


def _queued_runs(room_: Room) -> list[Candidate]:
    """Return the first queued runs, leaving out those that could not go on now: they would hide the others."""
    able = [agent for project in room_.projects.values() if _has_room(project) for agent in _able_agents(project)]
    runs = TaskRun.objects.unowned().filter(task__is_held=False, agent__in=able).select_related("task")[:BATCH]
    return [
        Candidate(
            task_id=run.task_id,
            project_id=run.task.project_id,
            status=run.task.status,
            assignee_id=run.agent_id,
            run_id=run.pk,
        )
        for run in runs
    ]


def _tasks(room_: Room) -> list[Candidate]:
    """Take the first tasks of each project in turn, the project served longest ago first."""
    queues = [queue for project in _fair_order(room_) if (queue := _first_tasks(room_.projects[project]))]
    found: list[Candidate] = []
    while queues and len(found) < BATCH:
        found += [queue.pop(0) for queue in queues]
        queues = [queue for queue in queues if queue]
    return found


def _fair_order(room_: Room) -> list[int]:
    open_ = [project.id for project in room_.projects.values() if _has_room(project)]
    served = Project.objects.filter(pk__in=open_).order_by(F("last_served_at").asc(nulls_first=True), "id")
    return list(served.values_list("pk", flat=True)) if room_.free > 0 else []


def _first_tasks(project: ProjectRoom) -> list[Candidate]:
    """Return the project's next tasks, leaving out those whose agent could not take them now."""
    able = _able_agents(project)
    if not able:
        return []
    tasks = Task.objects.due().filter(Q(assignee__isnull=True) | Q(assignee__in=able), project_id=project.id)[:BATCH]
    return [
        Candidate(
            task_id=task.pk,
            project_id=task.project_id,
            status=task.status,
            assignee_id=task.assignee_id,
            not_before=task.not_before,
        )
        for task in tasks
    ]


def _has_room(project: ProjectRoom) -> bool:
    return (
        not project.is_paused
        and project.free > 0
        and (project.budget_left_usd is None or project.budget_left_usd > 0)
        and (project.review_left is None or project.review_left > 0)
    )


def _able_agents(project: ProjectRoom) -> list[int]:
    active = [agent for agent in project.agents if agent.status == AgentStatus.ACTIVE and agent.has_client]
    return [agent.id for agent in active if agent.free > 0]


def next_due() -> float | None:
    """Return in how many seconds the next retry or `not_before` comes due; None when nothing waits for time."""
    now = leases.now()
    # A retry of a held task is not promoted, however late it is: it would keep the loop from sleeping.
    retries = TaskRun.objects.filter(status=RunStatus.RETRY_SCHEDULED, task__is_held=False)
    retry = retries.order_by("next_retry_at").first()
    start = Task.objects.ready().filter(not_before__gt=now).order_by("not_before").first()
    times = [moment for moment in (retry and retry.next_retry_at, start and start.not_before) if moment]
    return max(0.0, (min(times) - now).total_seconds()) if times else None
