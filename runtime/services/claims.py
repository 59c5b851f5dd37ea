"""Claim: make a choice of the plan true, or find that somebody was faster. One short transaction a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import F

from events import trace
from llm.services import begin_trial
from orchestration.models import Agent, Project, Task
from orchestration.scheduler import Choice
from orchestration.services.locks import lock_tasks
from orchestration.services.tasks import move_locked_tasks
from orchestration.states import AgentStatus, TaskStatus
from runtime import breakers, leases, planning, slots
from runtime.allowances import Amounts, Day, reservation, spent, start_caps, tasks_left
from runtime.models import Slot, TaskRun
from runtime.retries import POISONED
from runtime.services.moves import record_move
from runtime.states import RunStatus
from sql.inserts import insert_all
from sql.prepared import PreparedQuery, PreparedUpdate

# Of earlier attempts: what the next one needs to know.
_INHERITED = ("task_id", "attempt", "agent_id", "error_code", "session_id", "workspace", "branch", "base_commit")

_agents_with_project = PreparedQuery(lambda ids: Agent.objects.select_related("project").filter(pk__in=ids))
_attempts_at = PreparedQuery(lambda tasks: TaskRun.objects.filter(task__in=tasks).only(*_INHERITED).order_by("attempt"))
_mark_served = PreparedUpdate(lambda ids, now: (Project.objects.filter(pk__in=ids), {"last_served_at": now}))


def claim(choices: Iterable[Choice], *, owner: str) -> list[TaskRun]:
    """Acquire runs for what the plan chose. Answers only those that were really there to take.

    Every check of the plan that could have changed since is made again under the locks of slots and tasks, which are held
    to the end of the caller's unit of work.
    """
    chosen = sorted(choices, key=lambda choice: choice.task_id)
    caps: dict[str, int] = {}
    for agent in _agents(chosen).values():
        caps |= slots.caps(agent.project, agent)
    locked = slots.lock(caps)
    tasks = lock_tasks(choice.task_id for choice in chosen)
    # Looked up again: to delete an agent takes its slot first, so who is there now stays.
    agents = _agents(chosen)
    batch = _Batch(owner, locked, tasks, agents)
    for choice in chosen:
        if (task := tasks.get(choice.task_id)) and (chosen_agent := agents.get(choice.agent_id)):
            batch.add(task, chosen_agent, choice.run_id)
    return batch.write()


def _agents(chosen: Iterable[Choice]) -> dict[int, Agent]:
    return {agent.pk: agent for agent in _agents_with_project({choice.agent_id for choice in chosen})}


class _Batch:
    """The claims of one transaction, decided one by one and written together. Slots and tasks are locked."""

    def __init__(
        self, owner: str, locked: dict[str, Slot], tasks: Mapping[int, Task], agents: Mapping[int, Agent]
    ) -> None:
        self._owner, self._actor = owner, f"scheduler:{owner}"
        self._locked = locked
        # Who ends a run holds its slots as well: no task has come to review since they were locked.
        self._reviews = planning.waiting_in_review({agent.project for agent in agents.values()})
        # Nobody changes them while they are locked: who is here may be taken, and all in one UPDATE.
        self._ready = {pk for pk, task in tasks.items() if _is_ready(task)}
        self._now = leases.now()
        self._day, self._left, self._gates = Day(), tasks_left(tasks.values()), breakers.here()
        self._last = {run.task_id: run for run in _attempts_at(list(tasks))}
        self._taken: Counter[str] = Counter()
        self._claimed: list[TaskRun] = []

    def add(self, task: Task, agent: Agent, run_id: int | None) -> None:
        """Claim a task, or the queued run of one, if there is still room for it and it is still there to take."""
        task.project, breaker = agent.project, self._gates.get(agent.provider)
        if breaker is not None and breakers.keeps_back(breaker, self._now):
            return
        caps, wanted = start_caps(agent, self._day, self._left.get(task.pk, {})), slots.keys(task.project_id, agent.pk)
        if not self._has_room(agent, wanted) or spent(caps):
            return
        run = self._acquire(run_id, caps) if run_id else self._begin(task, agent, caps)
        if run is None:
            return
        slots.take(self._locked, wanted)
        self._taken.update(wanted)
        self._day.reserve(run, task.project_id)
        self._claimed.append(run)
        if breaker is not None:
            # Of those that would try, one at a time: it has to be a row at once.
            self._insert()
            begin_trial(breaker, run_id=run.pk, now=self._now)

    def _has_room(self, agent: Agent, wanted: Iterable[str]) -> bool:
        """Tell whether agent and project still work, and no cap is reached: the slots', and that of the reviews."""
        project = agent.project
        if agent.status != AgentStatus.ACTIVE or project.is_paused or project.is_archived:
            return False
        if any(self._locked[key].running >= self._locked[key].cap for key in wanted):
            return False
        left = planning.review_left(project, self._reviews, self._locked[slots.project_key(project.pk)].running)
        return left is None or left > 0

    def write(self) -> list[TaskRun]:
        """Write what was claimed, and return it."""
        self._insert()
        slots.store(self._taken)
        served = {run.task.project_id for run in self._claimed}
        _mark_served(served, self._now)
        return self._claimed

    def _acquire(self, run_id: int, caps: Amounts) -> TaskRun | None:
        """Take a queued run that nobody owns; its next start has the next epoch."""
        free = TaskRun.objects.unowned().filter(pk=run_id, task__is_held=False)
        taken = free.update(epoch=F("epoch") + 1, version=F("version") + 1, **self._right(caps))
        return TaskRun.objects.select_related("task__project", "agent").get(pk=run_id) if taken else None

    def _begin(self, task: Task, agent: Agent, caps: Amounts) -> TaskRun | None:
        """Begin the next attempt at a ready task."""
        if task.pk not in self._ready:
            return None
        self._ready.remove(task.pk)
        return _attempt(task, agent, self._last.get(task.pk), epoch=1, **self._right(caps))

    def _right(self, caps: Amounts) -> dict[str, Any]:
        return {"owner": self._owner, "lease_until": leases.until(self._now), **reservation(caps)}

    def _insert(self) -> None:
        new = [run for run in self._claimed if run._state.adding]
        if not new:
            return
        begun = [run.task for run in new]
        move_locked_tasks(begun, TaskStatus.RUNNING, actor=self._actor, reason="claimed")
        insert_all(TaskRun, new)
        for run in new:
            record_move(run, before="", actor=self._actor, reason="claimed")


def _is_ready(task: Task) -> bool:
    is_free = task.status == TaskStatus.TODO and not task.is_archived
    return is_free and task.unmet_dependencies == 0 and not task.is_held


def add_attempt(task: Task, agent: Agent, *, actor: str, reason: str, idempotency_key: str = "") -> TaskRun:
    """Queue the next attempt at a task; it goes on in the session and worktree of the one before.

    Runs in the transaction that makes the task running.
    """
    last = task.runs.order_by("-attempt").first()
    run = _attempt(task, agent, last, **({"idempotency_key": idempotency_key} if idempotency_key else {}))
    run.save(force_insert=True)
    record_move(run, before="", actor=actor, reason=reason)
    return run


def _attempt(task: Task, agent: Agent, last: TaskRun | None, **fields: Any) -> TaskRun:
    attempt = last.attempt + 1 if last else 1
    own = {"idempotency_key": f"task-{task.pk}-attempt-{attempt}", "trace_id": trace.new()}
    before = inherited(last, agent) if last else {}
    return TaskRun(task=task, agent=agent, attempt=attempt, status=RunStatus.QUEUED, **own | before | fields)


def inherited(run: TaskRun, agent: Agent) -> dict[str, str]:
    """Return what a later attempt goes on with: the worktree, and the session if that is good and the same agent's."""
    has_session = run.agent_id == agent.pk and run.error_code not in POISONED
    return {
        "session_id": run.session_id if has_session else "",
        "workspace": run.workspace,
        "branch": run.branch,
        "base_commit": run.base_commit,
    }
