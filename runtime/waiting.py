"""Why a task does not run: the planner's own answer, in a sentence for a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from llm.models import Breaker
from llm.states import BreakerState
from orchestration.models import Agent, Task
from orchestration.scheduler import plan
from orchestration.states import Reason, TaskStatus
from runtime import breakers, clients, leases, planning
from runtime.allowances import Day, spent, task_left
from runtime.models import TaskRun
from runtime.services.commands import active_run
from runtime.states import RunStatus

# How many tasks a sentence names.
_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Wait:
    """What keeps a task; `reason` is None where nothing does, or where it does not wait for a start at all."""

    status: str
    reason: Reason | None
    detail: str
    waits_until: datetime | None = None
    """Set where it is time alone that it waits for."""


def explain(task: Task) -> Wait:
    """Return why the task does not start now. Asks the planner as the dispatcher does."""
    run = active_run(task)
    if not _waits_for_start(task, run):
        return Wait(status=task.status, reason=None, detail=_state(task, run))
    if task.project.is_archived:
        return Wait(status=task.status, reason=Reason.PROJECT_PAUSED, detail="Its project is archived.")
    limits = breakers.keeping_back(breakers.as_far_as_known(), leases.now())
    reason = _reason(task, run, limits)
    until = _until(reason, task, run, limits)
    detail = _detail(reason, task, run, until)
    return Wait(status=task.status, reason=reason, detail=detail, waits_until=until)


def _waits_for_start(task: Task, run: TaskRun | None) -> bool:
    if run is None:
        return task.status == TaskStatus.TODO
    return run.status == RunStatus.RETRY_SCHEDULED or (run.status == RunStatus.QUEUED and run.owner == "")


def _reason(task: Task, run: TaskRun | None, limits: Mapping[str, Breaker]) -> Reason | None:
    candidate = planning.candidate_of(task)
    if run is not None:
        # A run that has been begun goes on whenever it can; `not_before` is about the beginning.
        candidate = replace(candidate, not_before=None)
    room = planning.room([task.project], missing=clients.missing_in(task.project), limits=limits)
    return plan([candidate], room).waiting.get(task.pk)


def _until(reason: Reason | None, task: Task, run: TaskRun | None, limits: Mapping[str, Breaker]) -> datetime | None:
    if reason == Reason.USAGE_LIMIT:
        return _reset_at(run.agent if run else task.assignee, limits)
    if reason == Reason.NOT_BEFORE:
        return task.not_before
    return run.next_retry_at if reason == Reason.RETRY_AT and run else None


def _reset_at(agent: Agent | None, limits: Mapping[str, Breaker]) -> datetime | None:
    """Return when the first limit that keeps the agent, or any that could take the task, is reset; None: one run tries."""
    met = [limits[agent.provider]] if agent and agent.provider in limits else list(limits.values())
    resets = [breaker.reset_at for breaker in met if breaker.state == BreakerState.OPEN and breaker.reset_at]
    return min(resets, default=None)


def _state(task: Task, run: TaskRun | None) -> str:
    if task.cancel_requested_at is not None:
        return "It was asked to stop and will be cancelled."
    if task.approved_at is not None:
        return "Its work is approved and is being merged."
    if run is not None and run.status == RunStatus.QUEUED:
        return "A scheduler has taken it and is about to start it."
    return _STATES.get(task.status, "") or f"Blocked: {task.status_reason or 'it waits for a person'}."


_STATES: dict[str, str] = {
    TaskStatus.RUNNING: "An agent works on it.",
    TaskStatus.REVIEW: "Its work waits for a review.",
    TaskStatus.DONE: "It is done.",
    TaskStatus.FAILED: "It has failed; retry it to have another attempt.",
    TaskStatus.CANCELLED: "It is cancelled; retry it to have it done after all.",
}


def _detail(reason: Reason | None, task: Task, run: TaskRun | None, until: datetime | None) -> str:
    if reason is None:
        return "Nothing keeps it; it starts as soon as a scheduler comes round to it."
    if reason == Reason.DEPENDENCY:
        return _dependencies(task)
    if reason == Reason.BUDGET:
        return _spent(task, run)
    agent = run.agent if run else task.assignee
    who = agent.name if agent else "every agent that could take it"
    time = f"{until:%Y-%m-%d %H:%M:%S} UTC" if until else ""
    when = f"it is tried again at {time}" if time else "one run tries now whether it has passed"
    return _DETAILS[reason].format(who=who, Who=who[0].upper() + who[1:], time=time, when=when)


def _dependencies(task: Task) -> str:
    unmet = task.dependencies.exclude(depends_on__status=TaskStatus.DONE).order_by("depends_on_id")
    ids = list(unmet.values_list("depends_on_id", flat=True)[: _NAMED + 1])
    names = ", ".join(f"task {id_}" for id_ in ids[:_NAMED]) + (" and others" if len(ids) > _NAMED else "")
    return f"It waits for {names} to be done."


def _spent(task: Task, run: TaskRun | None) -> str:
    """Say which limit leaves nothing; the nearest first."""
    day = Day()
    if unit := spent(task_left(task)):
        return f"Its own limit of {unit} is used up. Raise it to let it go on."
    if (unit := spent(day.left_in_all())) or (unit := spent(day.left(task.project))):
        whose = "all projects" if spent(day.left_in_all()) else "its project"
        return f"The day's limit of {unit} of {whose} is used up or reserved. It goes on tomorrow (UTC), or with a higher limit."
    agent = run.agent if run else task.assignee
    who = agent.name if agent else "every agent that could take it"
    return f"The day's limit of {who} is used up or reserved. It goes on tomorrow (UTC), or with a higher limit."


_DETAILS: dict[Reason, str] = {
    Reason.HELD: "It is paused; resume it to let it go.",
    Reason.NOT_BEFORE: "It is not to start before {time}.",
    Reason.NO_SLOT: "As many runs as allowed are running already, in its project or altogether.",
    Reason.AGENT_BUSY: "{Who} is busy.",
    Reason.AGENT_PAUSED: "{Who} is paused or archived.",
    Reason.PROJECT_PAUSED: "Its project is paused.",
    Reason.USAGE_LIMIT: "The usage limit of its provider is reached; {when}.",
    Reason.REVIEW_FULL: "As many tasks as allowed wait for a review in its project, or are worked on; review one.",
    Reason.RETRY_AT: "The last attempt failed; the next one starts at {time}.",
    Reason.NO_AGENT: "Its project has no agent.",
    Reason.NO_CLIENT: "The client of its agent is not installed here, or has no login.",
}
