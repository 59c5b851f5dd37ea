"""A project whose agents work until the test lets them end, and what tests ask of it. The agent is a script: what its task says."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from llm.models import UsageDaily
from orchestration.models import Project, Task
from orchestration.states import TaskStatus
from orchestration.tests.factories import make_agent, make_project, make_task
from runtime.models import RunLog, TaskRun
from runtime.states import RunStatus
from tests.schedulers import Site, directory

ONCE_THROUGH = ["queued", "running", "succeeded"]
# Killed once on the way, and gone on.
TWICE_STARTED = ["queued", "running", "interrupted", "queued", "running", "succeeded"]


class Hive:
    """A project whose agents work until the test lets them end."""

    def __init__(self, at: Site, folder: Path) -> None:
        self.site = at
        self.repo = folder / "repo"
        self.gate = folder / "gate"
        self.project: Project = make_project(self.repo)
        self.agent = make_agent(self.project, max_parallel_runs=4)

    def task(self, *script: str, **fields: Any) -> Task:
        """Create a task with a script of its own."""
        return make_task(self.project, description="\n".join(f"noop: {line}" for line in script), **fields)

    def long_task(self) -> Task:
        """Create a task that lasts until the gate opens."""
        wait = f"run echo begun > begun; until [ -e {self.gate} ]; do sleep 0.05; done"
        return self.task("cost 0.25", wait, "cost 0.5")

    def hanging_task(self) -> Task:
        """Create a task that never ends, and leaves a process that hides from its parent."""
        return self.task("cost 0.25", "run setsid sleep 600 >/dev/null 2>&1 &", "write begun", "hang")

    def open_gate(self) -> None:
        self.gate.touch()

    def begun(self, *tasks: Task) -> list[TaskRun]:
        """Wait until agents are at work on the tasks, and return their runs."""
        return [self.site.until(partial(self._begun, task), f"{task} has begun") for task in tasks]

    def _begun(self, task: Task) -> TaskRun | None:
        run = TaskRun.objects.filter(task=task, status=RunStatus.RUNNING).exclude(session_id="").first()
        return run if run and run.pid and Path(run.workspace, "begun").exists() else None

    def finished(self, *tasks: Task) -> list[TaskRun]:
        """Wait until the tasks are in review, and return their runs, of which each has one."""
        for task in tasks:
            self.site.until(partial(is_in, task, TaskStatus.REVIEW), f"{task} is in review")
        return [TaskRun.objects.get(task=task) for task in tasks]


def is_in(task: Task, status: TaskStatus) -> bool:
    task.refresh_from_db()
    return task.status == status


def statuses(*tasks: Task) -> list[str]:
    for task in tasks:
        task.refresh_from_db()
    return [task.status for task in tasks]


def spent() -> tuple[float, int]:
    """Return the cost in the ledger, and how many starts it counts."""
    rows = list(UsageDaily.objects.all())
    return float(sum(row.cost_usd for row in rows)), sum(row.run_count for row in rows)


def assert_log_is_whole(run: TaskRun, *epochs: int) -> None:
    """The table holds every line of the run's starts, once, in order, numbered without a gap."""
    written = [line["body"] for epoch in epochs for line, _ in directory(run, epoch).lines()]
    lines = list(RunLog.objects.filter(run=run).order_by("seq"))
    assert written
    assert [line.body for line in lines] == written
    assert [line.seq for line in lines] == list(range(1, len(written) + 1))
