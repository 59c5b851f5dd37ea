"""The picking policy: which tasks deserve a run now, and why the others have to wait. Pure, on plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from orchestration.states import AgentStatus, Reason, TaskStatus


@dataclass(frozen=True)
class AgentRoom:
    """An agent as the policy sees it."""

    id: int
    project_id: int
    status: str
    free: int
    has_client: bool = True
    """Whether the client of its provider can work on this host."""
    is_limited: bool = False
    """Whether the usage limit of what its provider is paid with keeps it from starting."""
    spent: str = ""
    """A unit of which the day has nothing left for it."""


@dataclass(frozen=True)
class ProjectRoom:
    """A project as the policy sees it."""

    id: int
    is_paused: bool
    free: int
    review_left: int | None
    """How many more tasks may come to review; None: any number."""
    agents: tuple[AgentRoom, ...]
    spent: str = ""
    """A unit of which the day has nothing left for it, or for all projects."""


@dataclass(frozen=True)
class Candidate:
    """A task that might start, or the queued run of one (`run_id`), which comes first."""

    task_id: int
    project_id: int
    status: str
    assignee_id: int | None
    is_held: bool = False
    unmet_dependencies: int = 0
    not_before: datetime | None = None
    run_id: int | None = None
    retry_at: datetime | None = None
    spent: str = ""
    """A unit of which its own limits leave nothing."""


@dataclass(frozen=True)
class Choice:
    task_id: int
    agent_id: int
    run_id: int | None


@dataclass
class Plan:
    """What to start, in order, and what keeps each of the others."""

    start: list[Choice] = field(default_factory=list)
    waiting: dict[int, Reason] = field(default_factory=dict)


@dataclass
class Room:
    """What is free at this moment. `plan` uses it up."""

    now: datetime
    free: int
    projects: Mapping[int, ProjectRoom]
    _taken: dict[str, int] = field(default_factory=dict)

    def left(self, key: str, free: int) -> int:
        return free - self._taken.get(key, 0)

    def take(self, *taken: str) -> None:
        for key in taken:
            self._taken[key] = self._taken.get(key, 0) + 1


def plan(candidates: Iterable[Candidate], room: Room) -> Plan:
    """Walk the candidates in their order; start what finds room, name the reason for what does not."""
    made = Plan()
    for candidate in candidates:
        project = room.projects[candidate.project_id]
        verdict = (
            _own_reason(candidate, room) or _project_reason(project, room) or _pick_agent(candidate, project, room)
        )
        if isinstance(verdict, Reason):
            made.waiting[candidate.task_id] = verdict
            continue
        room.take("global", f"project:{project.id}", f"agent:{verdict.id}")
        made.start.append(Choice(candidate.task_id, verdict.id, candidate.run_id))
    return made


def _own_reason(candidate: Candidate, room: Room) -> Reason | None:
    if candidate.is_held:
        return Reason.HELD
    if candidate.retry_at is not None and candidate.retry_at > room.now:
        return Reason.RETRY_AT
    if candidate.run_id is None and (candidate.unmet_dependencies or candidate.status != TaskStatus.TODO):
        return Reason.DEPENDENCY
    if candidate.not_before is not None and candidate.not_before > room.now:
        return Reason.NOT_BEFORE
    return Reason.BUDGET if candidate.spent else None


def _project_reason(project: ProjectRoom, room: Room) -> Reason | None:
    if project.is_paused:
        return Reason.PROJECT_PAUSED
    if project.spent:
        return Reason.BUDGET
    if project.review_left is not None and room.left(f"project:{project.id}", project.review_left) <= 0:
        return Reason.REVIEW_FULL
    if room.left("global", room.free) <= 0 or room.left(f"project:{project.id}", project.free) <= 0:
        return Reason.NO_SLOT
    return None


def _pick_agent(candidate: Candidate, project: ProjectRoom, room: Room) -> AgentRoom | Reason:
    """Choose the assignee, or for a task that names none the least busy agent of the project."""
    wanted = [agent for agent in project.agents if candidate.assignee_id in (None, agent.id)]
    active = [agent for agent in wanted if agent.status == AgentStatus.ACTIVE]
    if not active:
        return Reason.AGENT_PAUSED if wanted else Reason.NO_AGENT
    able = [agent for agent in active if agent.has_client]
    if not able:
        return Reason.NO_CLIENT
    able = [agent for agent in able if not agent.is_limited]
    if not able:
        return Reason.USAGE_LIMIT
    able = [agent for agent in able if not agent.spent]
    if not able:
        return Reason.BUDGET
    best = max(able, key=lambda agent: (room.left(f"agent:{agent.id}", agent.free), -agent.id))
    return best if room.left(f"agent:{best.id}", best.free) > 0 else Reason.AGENT_BUSY
