"""A scheduler's work by hand, without processes: claim, start, finish, give back, promote, deliver, land."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from inbox import services as inbox
from inbox.states import ItemType
from orchestration import git
from orchestration.exceptions import Conflict
from orchestration.models import Task
from orchestration.scheduler import Choice, plan
from runtime import landing, leases, planning, recovery
from runtime.exceptions import StaleRun
from runtime.hosts import host_id
from runtime.models import TaskRun
from runtime.services.answers import deliver_answers
from runtime.services.finishing import ask_key, finish_run
from runtime.services.moves import move_run, record_stale
from runtime.services.promoting import promote_due
from runtime.starting import worktrees_root
from runtime.states import RunStatus
from runtime.tests.factories import ending
from runtime.tests.halves import claim

# How an agent's run may end: outcome and error code.
ENDINGS = [
    ("finished", ""),
    ("unreported", ""),
    ("blocked", ""),
    ("parked", ""),
    ("interrupted", ""),
    ("cancelled", ""),
    ("failed", "overloaded"),
    ("failed", "auth"),
]


class Hands:
    """One scheduler of a project. Its runs change nothing in the repository, so that all of them land."""

    def __init__(self, owner: str, repo: Path) -> None:
        self.owner = owner
        self.head = git.branch_commit(repo, "main") or ""

    @property
    def actor(self) -> str:
        return f"scheduler:{self.owner}"

    def step(self, chance: Random) -> None:
        """Do one thing that a scheduler does in a round."""
        steps: list[Callable[[], object]] = [
            lambda: self.claim(chance.randint(1, 3)),
            lambda: self.start(self.pick(RunStatus.QUEUED, chance)),
            lambda: self.start(self.pick(RunStatus.QUEUED, chance)),
            lambda: self.finish(self.pick(RunStatus.RUNNING, chance), *chance.choice(ENDINGS)),
            lambda: self.finish(self.pick(RunStatus.RUNNING, chance), *chance.choice(ENDINGS)),
            self.promote,
            self.deliver,
            self.land,
            self.give_back,
        ]
        chance.choice(steps)()

    def claim(self, limit: int) -> list[TaskRun]:
        room = planning.room()
        return claim(plan(planning.candidates(room), room).start[:limit], owner=self.owner)

    def start(self, run: TaskRun | None) -> None:
        """Make the handshake of a claimed run, as a start does before anything else."""
        if run is None:
            return
        task_key = run.task.key
        try:
            move_run(
                run,
                RunStatus.RUNNING,
                actor=self.actor,
                fence=True,
                host_id=host_id(),
                workspace=str(worktrees_root() / "none" / task_key),
                branch=f"bbb/{task_key}",
                base_commit=self.head,
            )
        except Conflict:
            record_stale(run, action="start")

    def finish(self, run: TaskRun | None, outcome: str, code: str = "") -> None:
        """End a run of ours; a run that parks has asked before."""
        if run is None:
            return
        if outcome == "parked":
            key = ask_key(run, "1")
            title = "Question"
            inbox.ask(
                ItemType.AWAIT_USER_INPUT, task=run.task, title=title, dedupe_key=key, run_id=run.pk, actor="agent:1"
            )
        message = "1" if outcome == "parked" else "Done."
        try:
            finish_run(run, ending(outcome, code=code, message=message), head_commit=self.head)
        except StaleRun:
            record_stale(run, action="supervise")

    def take_over_from(self, other: str) -> None:
        """Recover what another scheduler has lost by a stall beyond its leases. Of its runs there is no process."""
        TaskRun.objects.owned(other).update(lease_until=leases.now())
        mine = TaskRun.objects.owned(self.owner).values_list("pk", flat=True)
        recovery.adopt_abandoned(owner=self.owner, watched=list(mine))

    def give_back(self) -> None:
        """Recover as a scheduler that has lost the database while it started its runs."""
        watched = TaskRun.objects.owned(self.owner).filter(status=RunStatus.RUNNING).values_list("pk", flat=True)
        recovery.adopt_abandoned(owner=self.owner, watched=list(watched))

    def promote(self) -> int:
        return promote_due(actor=self.actor)

    def deliver(self) -> int:
        return deliver_answers(owner=self.owner)

    def land(self) -> int:
        return landing.land_approved(actor=self.actor)

    def pick(self, status: RunStatus, chance: Random) -> TaskRun | None:
        """Return any of our runs in a status."""
        runs = list(self.runs(status))
        return chance.choice(runs) if runs else None

    def runs(self, status: RunStatus) -> list[TaskRun]:
        owned = TaskRun.objects.owned(self.owner).filter(status=status)
        return list(owned.select_related("task__project", "agent").order_by("id"))

    def take(self, task: Task) -> TaskRun:
        """Claim one task, or the queued run of one, and nothing else."""
        waiting = TaskRun.objects.unowned().filter(task=task).first()
        agent = task.project.agents.order_by("id")[0]
        [run] = claim([Choice(task.pk, agent.pk, waiting.pk if waiting else None)], owner=self.owner)
        return run

    def begin(self, task: Task) -> TaskRun:
        """Claim one task and start its run."""
        run = self.take(task)
        self.start(run)
        return run
