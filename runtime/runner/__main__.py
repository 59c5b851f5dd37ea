"""`python -m runtime.runner RUN_DIR`: own one run, from its start.json to its exit.json."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import structlog

from llm.operator_settings import plain_environment
from runtime import processes
from runtime.rundir import ExitRecord, RunDirectory, StartRecord, Usage
from runtime.runner.journal import Journal
from runtime.runner.logs import configure
from runtime.runner.session import Session
from runtime.runner.state import Ending, RunState
from security.redaction import redact

log = structlog.get_logger("bbb.runtime")

# How long what is left of a run may take to end by itself.
GRACE_S = 3.0


def main(argv: list[str]) -> int:
    """Run the run. Returns 0 whenever exit.json was written, else 2."""
    if len(argv) != 1:
        sys.stderr.write("usage: python -m runtime.runner RUN_DIR\n")
        return 2
    directory = RunDirectory(Path(argv[0]).resolve())
    try:
        request = directory.request()
    except (OSError, ValueError, TypeError) as error:
        sys.stderr.write(f"{directory.path}: no usable request.json: {error}\n")
        return 2
    processes.become_subreaper()
    directory.write_start(_identity())
    configure(trace_id=request.trace_id, run_id=request.run_id, task_id=request.task_id, agent_id=request.agent_id)
    with Journal(directory.events_path, max_bytes=request.max_log_bytes) as journal:
        state = RunState(request=request, directory=directory, journal=journal)
        # Asked once it is known who we are: whoever withdraws a start looks for us after having said so.
        is_withdrawn = directory.received("cancel") is not None
        ending = Ending(outcome="cancelled") if is_withdrawn else _outcome(state)
        _hear_no_more_signals()
        _reap()
        directory.write_exit(_record(state, ending))
    log.info("runner_ended", outcome=ending.outcome, code=ending.code)
    return 0


def _identity() -> StartRecord:
    pid = os.getpid()
    ticks = processes.start_ticks(pid)
    return StartRecord(pid=pid, start_ticks=ticks or 0, boot_id=processes.boot_id(), pgid=os.getpgid(pid))


def _outcome(state: RunState) -> Ending:
    """Do the run. Whatever goes wrong in here is an ending too, never silence."""
    try:
        return asyncio.run(_run(state))
    except Exception as error:
        log.exception("runner_failed")
        message = redact(f"{type(error).__name__}: {error}")
        return state.report or Ending(outcome="failed", code="protocol", message=message)


async def _run(state: RunState) -> Ending:
    stop = Ending(outcome="interrupted", message="The runner was asked to end.")
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, state.end, stop)
    environment = plain_environment(os.environ)
    if processes.TAG in os.environ:
        environment[processes.TAG] = os.environ[processes.TAG]
    log.info("runner_started", provider=state.request.provider, epoch=state.request.epoch)
    try:
        return await Session(state, environment=environment).run()
    finally:
        await asyncio.to_thread(_end_all)


def _end_all() -> None:
    """Leave nothing of the run alive: children, what they left to us, and what hides behind the tag."""
    own = os.getpid()
    tag = os.environ.get(processes.TAG)
    left = {*processes.descendants(own), *(processes.tagged(tag) if tag else ())} - {own}
    if left:
        processes.end_processes(sorted(left), GRACE_S)


def _hear_no_more_signals() -> None:
    """How it ended is known: who asks for the end now has it as soon as that is written down."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _reap() -> None:
    """Collect the dead that were left to us, which their next parent might not do."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _record(state: RunState, ending: Ending) -> ExitRecord:
    return ExitRecord(
        outcome=ending.outcome,
        code=ending.code,
        message=redact(ending.message),
        retry_after_s=ending.retry_after_s,
        session_id=state.session_id,
        usage=Usage(**asdict(state.usage), worked_s=round(state.worked_s, 3)),
        ended_at=datetime.now(UTC).isoformat(),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
