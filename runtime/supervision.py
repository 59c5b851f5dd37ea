"""Supervise: carry what a runner wrote into the database, pass on what people asked for, notice the end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings

from events import services as events
from events import trace
from events.states import EventType
from inbox import services as inbox
from inbox.states import ItemType
from orchestration import git
from orchestration.models import Task
from runtime import processes, workspace
from runtime.allowances import REACHED
from runtime.exceptions import StaleRun
from runtime.models import RunLog, TaskRun
from runtime.rundir import ExitRecord, RunDirectory
from runtime.services.completing import COMPLETED, Ending
from runtime.services.finishing import ask_key, finish_run, finish_together
from runtime.services.moves import record_stale, write_fenced
from runtime.workspace import Worktree
from sql.inserts import insert_all

log = structlog.get_logger("bbb.runtime")

# Lines carried over in one transaction.
BATCH = 500


@dataclass
class Watch:
    """A run under supervision by this process."""

    run: TaskRun
    directory: RunDirectory
    pidfd: int | None = None
    asked: set[str] = field(default_factory=set)
    """Which control messages were sent."""
    asked_at: float = 0.0
    """When the first of them was sent."""
    forced: int = 0
    """How many signals have followed, since it did not listen."""
    misses: int = 0
    clearance: processes.Clearance | None = None
    """The end of what its dead runner left running."""
    ending: Ending | None = None
    """How it ended, once all that it left is carried over and kept: it is yet to be finished."""

    def close(self) -> None:
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None


def watch(run: TaskRun, directory: RunDirectory) -> Watch:
    """Begin to supervise a run, just started or adopted."""
    opened = processes.open_pidfd(run.pid, run.pid_start_ticks) if run.pid and run.pid_start_ticks else None
    return Watch(run=run, directory=directory, pidfd=opened)


def follow(watched: Watch) -> bool:
    """Carry the next lines over; True when there may be more. Raises StaleRun."""
    run = watched.run
    batch = list(islice(watched.directory.lines(run.log_offset), BATCH))
    if not batch:
        return False
    with _bound(run):
        _carry_over(run, batch)
    return len(batch) == BATCH


def _carry_over(run: TaskRun, batch: list[tuple[dict[str, Any], int]]) -> None:
    lines = [line for line, _ in batch]
    # Before the transaction: on SQLite nobody else writes during it.
    rows = [
        RunLog.of(run, seq=number, at=datetime.fromisoformat(line["at"]), kind=line["kind"], body=line["body"])
        for number, line in enumerate(lines, start=run.log_seq + 1)
    ]
    _write_lines(run, lines, rows, log_offset=batch[-1][1])


@events.unit_of_work()
def _write_lines(run: TaskRun, lines: list[dict[str, Any]], rows: list[RunLog], *, log_offset: int) -> None:
    offset, seq = run.log_offset, run.log_seq
    try:
        write_fenced(run, log_offset=log_offset, log_seq=seq + len(lines))
        insert_all(RunLog, rows)
        for line in lines:
            _react(run, line)
        _report_progress(run, lines)
    except BaseException:
        run.log_offset, run.log_seq = offset, seq  # as the transaction leaves them
        raise


def _react(run: TaskRun, line: dict[str, Any]) -> None:
    """Do what a line asks for beyond being kept."""
    body = line["body"]
    match line["kind"], body.get("type"):
        case "system", "session":
            write_fenced(run, session_id=body["session_id"])
        case "system", "ask":
            inbox.ask(
                ItemType.AWAIT_USER_INPUT,
                task=run.task,
                title=f"Question: {run.task.title}",
                content=body["question"],
                options=body.get("options") or [],
                dedupe_key=ask_key(run, body["ask_id"]),
                run_id=run.pk,
                actor=f"agent:{run.agent_id}",
                trace_id=run.trace_id,
            )
        case "system", "permission_denied":
            events.append(
                EventType.TOOL_COMMAND_AUDIT,
                project_id=run.task.project_id,
                task_id=run.task_id,
                run_id=run.pk,
                actor=f"agent:{run.agent_id}",
                trace_id=run.trace_id,
                tool=str(body.get("tool_name", "")),
                outcome="denied",
                reason=str(body.get("message", "")),
            )


def _report_progress(run: TaskRun, lines: list[dict[str, Any]]) -> None:
    """Tell the stream where the run is: one event a batch, whatever the flood of lines."""
    last = lines[-1]
    usage: dict[str, Any] = next((line["body"] for line in reversed(lines) if line["body"].get("type") == "usage"), {})
    events.append(
        EventType.RUN_PROGRESS,
        project_id=run.task.project_id,
        task_id=run.task_id,
        run_id=run.pk,
        actor=f"agent:{run.agent_id}",
        trace_id=run.trace_id,
        epoch=run.epoch,
        seq=run.log_seq,
        kind=last["kind"],
        text=_gist(last["body"])[:500],
        turns=usage.get("turns", 0),
        token_out=usage.get("token_out", 0),
        cost_usd=usage.get("cost_usd", 0.0),
    )


def _gist(body: dict[str, Any]) -> str:
    for name in ("text", "name", "summary", "question", "reason", "command", "type"):
        if body.get(name):
            return str(body[name])
    return ""


def ended(watched: Watch) -> ExitRecord | None:
    """Return how the run ended, or None while its process is alive.

    A process that is gone without an exit record was killed: two looks in a row confirm it.
    """
    if record := watched.directory.exit():
        return record
    if _is_alive(watched):
        watched.misses = 0
        return None
    watched.misses += 1
    return _left_behind(watched.run, watched.directory) if watched.misses >= 2 and _is_cleared(watched) else None


def _is_cleared(watched: Watch) -> bool:
    """Clear up after a dead runner, and wait for nothing: all other runs would wait as well."""
    watched.close()  # it would wake us at once, again and again
    if watched.clearance is None:
        watched.clearance = processes.Clearance(watched.directory.tag, settings.STOP_GRACE_S)
    return watched.clearance.is_done()


def _is_alive(watched: Watch) -> bool:
    run = watched.run
    if not run.pid or run.pid_start_ticks is None:
        return False
    return processes.is_same_process(run.pid, run.pid_start_ticks, run.boot_id)


def gone(run: TaskRun, directory: RunDirectory) -> ExitRecord:
    """Clear up after a start whose runner is dead, and return what it leaves: the session and what was used."""
    processes.end_processes(processes.tagged(directory.tag), settings.STOP_GRACE_S)
    return _left_behind(run, directory)


def _left_behind(run: TaskRun, directory: RunDirectory) -> ExitRecord:
    if record := directory.exit():  # its last word, said between the look for it and the look for the process
        return record
    return ExitRecord(outcome="interrupted", code="process_gone", session_id=run.session_id, usage=directory.usage())


def give_up(run: TaskRun, directory: RunDirectory, error: Exception) -> None:
    """End a run that cannot be read: one bad line must not stop a scheduler, and with it all other runs."""
    try:
        write_fenced(run, error_code="protocol")  # what another scheduler looks after is not ours to end
        processes.end_processes(processes.tagged(directory.tag), settings.STOP_GRACE_S)
        finish_run(run, ExitRecord.unexpected(error, session_id=run.session_id))
    except StaleRun:
        record_stale(run, action="give up")


def conclude(watched: Watch, record: ExitRecord) -> None:
    """Carry the rest over, keep the work, and finish the run. Raises StaleRun."""
    finish(wrap_up(watched, record))


def wrap_up(watched: Watch, record: ExitRecord) -> Ending:
    """Carry the rest over and keep the work: what is left is to finish the run. Raises StaleRun."""
    run = watched.run
    while follow(watched):
        pass
    head = ""
    if record.outcome in COMPLETED or record.code in REACHED:
        record, head = _kept(run, record)
    watched.ending = Ending(run, record, head)
    return watched.ending


def finish(ending: Ending) -> None:
    """Finish a run that is wrapped up. Raises StaleRun."""
    with _bound(ending.run):
        finish_run(ending.run, ending.record, head_commit=ending.head_commit)
    _tell_finished(ending)


def finish_all(endings: Sequence[Ending]) -> bool:
    """Finish in one transaction what is wrapped up and completed; False when each is to be finished alone."""
    if not finish_together(endings):
        return False
    for ending in endings:
        _tell_finished(ending)
    return True


def _tell_finished(ending: Ending) -> None:
    run, record = ending.run, ending.record
    with _bound(run):
        log.info(
            "run_finished", outcome=record.outcome, code=record.code, status=run.status, cost_usd=record.usage.cost_usd
        )


def _bound(run: TaskRun) -> AbstractContextManager[None]:
    return trace.bound(run.trace_id, run_id=run.pk, task_id=run.task_id, agent_id=run.agent_id)


def _kept(run: TaskRun, record: ExitRecord) -> tuple[ExitRecord, str]:
    """Commit what the agent left uncommitted."""
    message = f"{run.task.title}\n\n{record.message}\n\nTask: {run.task.key}, attempt {run.attempt}"
    try:
        return record, workspace.commit_all(_worktree(run), message=message, author_name=run.agent.name)
    except git.GitError as error:
        failed = ExitRecord(
            outcome="failed",
            code="commit_failed",
            message=str(error),
            session_id=record.session_id,
            usage=record.usage,
        )
        return failed, ""


def _worktree(run: TaskRun) -> Worktree:
    return Worktree(
        path=Path(run.workspace),
        branch=run.branch,
        base_commit=run.base_commit,
        repo=Path(run.task.project.root_path),
    )


def pass_on_intents(watched: Watch, task: Task) -> None:
    """Ask the runner to stop when a person wants the task cancelled or paused; end it if it does not listen.

    Asked by a message, then by SIGTERM, then killed. Between two of these a grace passes, not waited for here.
    """
    name = "cancel" if task.cancel_requested_at else "interrupt" if task.is_held else ""
    if not name:
        return
    if name not in watched.asked:
        tell(watched, name)
        watched.asked.add(name)
        if not watched.asked_at:
            watched.asked_at = time.monotonic()
        return
    for step, (signal_, graces) in enumerate(_FORCE):
        is_due = time.monotonic() - watched.asked_at > graces * settings.STOP_GRACE_S
        if is_due and watched.forced == step:
            _force(watched, signal_)
            watched.forced += 1


def tell(watched: Watch, name: str) -> None:
    """Leave a runner the message that it is to stop: `cancel` or `interrupt`."""
    try:
        watched.directory.send(name, {"reason": name})
    except OSError as error:
        # Its directory was swept away, or the disk is full: then it hears of it by a signal.
        with _bound(watched.run):
            log.warning("message_not_left", message=name, error=str(error))


# A tool that runs may come to its end first: the message has two graces' time.
_FORCE = ((signal.SIGTERM, 2), (signal.SIGKILL, 3))


def _force(watched: Watch, signal_: signal.Signals) -> None:
    run = watched.run
    with _bound(run):
        log.warning("run_does_not_stop", signal=signal_.name)
    processes.send_signal(processes.tagged(watched.directory.tag), signal_)
