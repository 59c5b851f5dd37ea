"""Start: a run that was begun becomes a process. Nothing here happens inside a transaction."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.db.models import Sum

from llm import operator_settings
from orchestration import git
from runtime import briefs, workspace
from runtime.exceptions import StaleRun, StartFailed
from runtime.executors import local
from runtime.models import RunLog, TaskRun
from runtime.processes import TAG, end_processes, start_ticks, tagged
from runtime.rundir import RunDirectory, RunDirectoryExists, RunRequest
from runtime.services.moves import write_fenced
from runtime.states import LogKind
from security.exceptions import PathNotAllowed

log = structlog.get_logger("bbb.runtime")


def directory_of(run: TaskRun) -> RunDirectory:
    """Return the run directory of this start of the run, whether it is there or not."""
    return RunDirectory(settings.BBB_HOME / "runs" / run.tag)


def worktrees_root() -> Path:
    """Return the folder that holds every worktree of ours."""
    root: Path = settings.BBB_HOME / "worktrees"
    return root


def launch(run: TaskRun) -> RunDirectory:
    """Give a run that shook hands its worktree and its process. Raises StartFailed with a failure code, and StaleRun."""
    environment = _environment(run)
    needs_setup = _prepare_worktree(run)
    try:
        directory = RunDirectory.create(directory_of(run).path, _request(run, needs_setup=needs_setup))
        pid = local.launch(directory.path, environment)
    except RunDirectoryExists:
        raise StartFailed("protocol", f"The run directory {run.tag} exists already.") from None
    except OSError as error:
        raise StartFailed("crashed", f"The runner could not be started: {error}.") from None
    try:
        write_fenced(run, pid=pid, pid_start_ticks=start_ticks(pid))
    except StaleRun:
        # Nobody knows of this process: whoever has the run now starts one of its own, in the same worktree.
        end_processes(tagged(directory.tag), settings.STOP_GRACE_S)
        raise
    log.info("run_started", epoch=run.epoch, pid=pid)
    return directory


def _environment(run: TaskRun) -> dict[str, str]:
    try:
        found = operator_settings.client_environment(dict(os.environ), provider=run.agent.provider)
    except operator_settings.OperatorSettingsError as error:
        raise StartFailed(error.code, str(error)) from None
    return found | _identity(run) | {TAG: directory_of(run).tag}


def _identity(run: TaskRun) -> dict[str, str]:
    """Return who the agent is to git, which on a server without a configuration lets nobody merge or commit."""
    committer = {"GIT_COMMITTER_NAME": git.NAME, "GIT_COMMITTER_EMAIL": git.EMAIL}
    return git.author(run.agent.name) | {"GIT_AUTHOR_EMAIL": git.EMAIL} | committer


def _prepare_worktree(run: TaskRun) -> bool:
    """Make the run's worktree, or find it; tell whether the setup command has yet to succeed in it."""
    project = run.task.project
    path = Path(run.workspace) if run.workspace else worktrees_root() / project.slug / run.task.key
    is_fresh = not path.exists()
    try:
        worktree = workspace.add_worktree(
            Path(project.root_path),
            path=path,
            branch=run.branch or f"bbb/{run.task.key}",
            base_branch=project.base_branch,
            root=worktrees_root(),
        )
    except git.GitStarved as error:
        raise StartFailed("crashed", str(error)) from None
    except (git.GitError, PathNotAllowed) as error:
        raise StartFailed("workspace_failed", str(error)) from None
    write_fenced(
        run,
        run_dir=str(directory_of(run).path),
        workspace=str(path),
        branch=worktree.branch,
        base_commit=worktree.base_commit,
    )
    return is_fresh or not _is_set_up(run)


def _is_set_up(run: TaskRun) -> bool:
    """A setup that was cut off by a crash, or failed, has to be done again; its log says which."""
    setups = RunLog.objects.filter(run__task=run.task_id, run__workspace=run.workspace, kind=LogKind.SYSTEM)
    return setups.filter(body__type="setup", body__exit_code=0).exists()


def _request(run: TaskRun, *, needs_setup: bool) -> RunRequest:
    task, agent = run.task, run.agent
    spent = TaskRun.objects.filter(session_id=run.session_id).aggregate(sum=Sum("cost_usd"))["sum"]
    wanted: dict[str, Any] = {
        "run_id": run.pk,
        "epoch": run.epoch,
        "task_id": task.pk,
        "agent_id": agent.pk,
        "trace_id": run.trace_id,
        "provider": agent.provider,
        "model": agent.model,
        "prompt": briefs.prompt(run),
        "system_append": briefs.system_append(run),
        "workspace": run.workspace,
        "session_id": run.session_id or str(uuid.uuid4()),
        "is_resumed": bool(run.session_id),
        "setup_command": task.project.setup_command if needs_setup else "",
        "checks": briefs.checks(task),
        "permission_mode": agent.permission_mode,
        "allowed_tools": agent.enabled_tools,
        "max_turns": agent.max_turns if run.turn_cap is None else run.turn_cap,
        "max_tokens": run.token_cap or 0,
        "max_cost_usd": float(run.cost_cap_usd or 0),
        "session_cost_usd": float(spent or 0) if run.session_id else 0.0,
        "timeout_s": float(agent.timeout_s),
        "time_cap_s": run.time_cap_s or 0.0,
        "idle_timeout_s": settings.IDLE_TIMEOUT_S,
        "ask_wait_s": settings.ASK_WAIT_S,
        "max_check_rounds": settings.MAX_CHECK_ROUNDS,
        "max_log_bytes": settings.RUN_LOG_MAX_BYTES,
    }
    return RunRequest(**wanted)
