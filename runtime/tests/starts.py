"""Starts of runs for tests: a home of their own, what a runner would leave there, and processes that stand for one."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from pytest_django import Settings

from orchestration.models import Agent, Task
from orchestration.scheduler import Choice
from runtime.dispatcher import Dispatcher
from runtime.executors import local
from runtime.hosts import host_id
from runtime.models import TaskRun
from runtime.processes import TAG, boot_id, start_ticks
from runtime.rundir import RunDirectory, StartRecord
from runtime.runner.journal import Journal
from runtime.services.moves import move_run, write_fenced
from runtime.starting import directory_of, worktrees_root
from runtime.states import RunStatus
from runtime.tests import runners
from runtime.tests.factories import OWNER
from runtime.tests.halves import claim
from runtime.tests.runners import until
from runtime.workspace import Worktree, add_worktree

_stand_ins: list[subprocess.Popen[bytes]] = []


@contextmanager
def own_home(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    """Give the runs of a test a home of their own; whatever is left of them is killed afterwards."""
    settings.BBB_HOME = home = tmp_path / "home"
    settings.STOP_GRACE_S = 0.3
    settings.POLL_S = 0.2
    settings.RETRY_BASE_S = 0
    try:
        yield home
    finally:
        for process in living(home):
            process.kill()
        until(lambda: _are_over(home), "the processes of the test to end")
        while _stand_ins:
            _stand_ins.pop().wait()


def living(home: Path) -> list[psutil.Process]:
    """Return every living process of a run below `home`."""
    if not home.exists():
        return []
    return [process for process in runners.all_processes() if _tag(process).startswith(f"{home}/")]


def _are_over(home: Path) -> bool:
    is_over = not living(home)
    local.reap()  # after the look: what was a zombie then is collected now
    return is_over


def _tag(process: psutil.Process) -> str:
    try:
        return "" if runners.is_gone(process) else str(process.environ().get(TAG, ""))
    except psutil.Error:
        return ""


def claimed(task: Task, agent: Agent, owner: str = OWNER) -> TaskRun:
    """Claim a ready task, or the queued run of one, and nothing else."""
    waiting = TaskRun.objects.unowned().filter(task=task).first()
    [run] = claim([Choice(task.pk, agent.pk, waiting.pk if waiting else None)], owner=owner)
    return run


def begun(task: Task, agent: Agent, owner: str = OWNER) -> TaskRun:
    """Claim a ready task, or its queued run, and make the handshake."""
    return handshake(claimed(task, agent, owner))


def handshake(run: TaskRun) -> TaskRun:
    """Do what a start on this host does before anything else."""
    return move_run(
        run,
        RunStatus.RUNNING,
        actor=f"scheduler:{run.owner}",
        fence=True,
        host_id=host_id(),
        boot_id=boot_id(),
        run_dir=str(directory_of(run).path),
        log_offset=0,
    )


def make_directory(run: TaskRun, tmp_path: Path) -> RunDirectory:
    """Make the run directory of a start."""
    wanted = runners.request(tmp_path, run_id=run.pk, epoch=run.epoch, task_id=run.task_id)
    return RunDirectory.create(directory_of(run).path, wanted)


def make_worktree(run: TaskRun) -> Worktree:
    """Make the worktree of a run that has begun."""
    project = run.task.project
    worktree = add_worktree(
        Path(project.root_path),
        path=worktrees_root() / project.slug / run.task.key,
        branch=f"bbb/{run.task.key}",
        base_branch=project.base_branch,
        root=worktrees_root(),
    )
    write_fenced(run, workspace=str(worktree.path), branch=worktree.branch, base_commit=worktree.base_commit)
    return worktree


def say(directory: RunDirectory, *lines: tuple[str, dict[str, Any]]) -> None:
    """Append lines to the journal of a run, as its runner does."""
    with Journal(directory.events_path) as journal:
        for kind, body in lines:
            journal.write(kind, body)


def start_process(directory: RunDirectory, command: str = "exec sleep 60") -> subprocess.Popen[bytes]:
    """Start a shell that stands for the runner of a run: its mark, its start record, nothing else."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        env={"PATH": os.environ["PATH"], TAG: directory.tag},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    _stand_ins.append(process)
    ticks = start_ticks(process.pid)
    assert ticks is not None
    directory.write_start(StartRecord(pid=process.pid, start_ticks=ticks, boot_id=boot_id(), pgid=process.pid))
    return process


def kill_runner(run: TaskRun) -> None:
    """Kill the runner of a run that was started here, as the kernel does for want of memory."""
    process = psutil.Process(run.pid)
    process.kill()

    def is_over() -> bool:
        local.reap()
        return runners.is_gone(process)

    until(is_over, "the runner to die")


def tick_until(dispatcher: Dispatcher, look: Callable[[], Any], what: str = "it") -> Any:
    """Let a scheduler work until something holds, and return it."""

    def step() -> Any:
        if not dispatcher.tick():
            time.sleep(0.1)  # the agents need the processor more than we do
        return look()

    return until(step, what)
