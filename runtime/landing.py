"""Land: approved work is merged into the project's base branch. Safe to repeat: what is merged is found merged."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path

import structlog
from django.conf import settings
from django.db.models import F, Q, QuerySet

from events import services as events
from events import trace
from inbox import services as inbox
from inbox.states import ItemType
from orchestration import git
from orchestration.exceptions import Conflict
from orchestration.models import Task
from orchestration.services import comments
from orchestration.services.tasks import finish_tasks, move_task
from orchestration.states import TaskStatus
from runtime import merge, planning, starting, workspace
from runtime.models import TaskRun
from runtime.states import RunStatus
from security.exceptions import PathNotAllowed
from sql.prepared import PreparedQuery, PreparedUpdate

# Git takes its time for each, and the scheduler has other things to do as well.
_MERGED = 16

# What landing looks at: the rest of a row costs more to read than to find.
_OF_PROJECT = ("project__root_path", "project__base_branch")
_OF_TASK = ("project_id", "title", "status", "status_reason", "approved_at", "version", *_OF_PROJECT)
_OF_BRANCH = ("workspace", "branch", "base_commit", "head_commit", "merge_commit")
_OF_RUN = ("task_id", "agent_id", "attempt", "trace_id", "summary", "version", *_OF_BRANCH, "agent__name")

log = structlog.get_logger("bbb.runtime")


def _oldest(*, limit: int) -> QuerySet[Task]:
    waiting = Task.objects.filter(approved_at__isnull=False).order_by("approved_at", "id")
    return waiting.select_related("project").only(*_OF_TASK)[:limit]


def _ended_at(tasks: Collection[int]) -> QuerySet[TaskRun]:
    succeeded = TaskRun.objects.filter(task__in=tasks, status=RunStatus.SUCCEEDED).order_by("attempt")
    return succeeded.select_related("agent").only(*_OF_RUN)


_approved = PreparedQuery(_oldest)
_succeeded = PreparedQuery(_ended_at)
_note_merged = PreparedUpdate(
    lambda ids: (TaskRun.objects.filter(pk__in=ids), {"merge_commit": F("head_commit"), "version": F("version") + 1})
)


def land_approved(*, actor: str) -> int:
    """Land what is approved, oldest approval first; return how many tasks have moved."""
    runs = _latest(_approved(limit=planning.BATCH))
    empty = [run for run in runs if run.head_commit == run.base_commit]
    changed = [run for run in runs if run.head_commit != run.base_commit]
    moved = _land_empty(empty, actor=actor) if empty else 0
    return moved + sum(_land(run, actor=actor) for run in changed[:_MERGED])


def _latest(tasks: list[Task]) -> list[TaskRun]:
    """Return the run of each task whose work is approved."""
    if not tasks:
        return []
    latest = {run.task_id: run for run in _succeeded([task.pk for task in tasks])}
    for task in tasks:
        if task.pk in latest:
            latest[task.pk].task = task
    return [latest[task.pk] for task in tasks if task.pk in latest]


def _land_empty(runs: list[TaskRun], *, actor: str) -> int:
    """Let be done what changed nothing: there is nothing to merge, so git is not asked, and all of it is one transaction."""
    done = _done_together(runs, actor=actor)
    for run in [run for run in runs if run.pk in done]:
        with _bound(run):
            log.info("landed", status=TaskStatus.DONE, merge_commit=run.head_commit)
            if run.workspace:
                _clear_away(run)
    return len(done)


@events.unit_of_work()
def _done_together(runs: list[TaskRun], *, actor: str) -> set[int]:
    """Return the ids of the runs whose tasks are done now."""
    traces = {run.task_id: run.trace_id for run in runs}
    tasks = finish_tasks([run.task for run in runs], actor=actor, reason="merged", traces=traces)
    done = {run.pk for run in runs if run.task_id in tasks}
    # As in `_done`: the tasks' own moves are the fence.
    _note_merged(done)
    return done


def _land(run: TaskRun, *, actor: str) -> bool:
    with _bound(run):
        try:
            _merge(run, actor=actor)
        except Conflict:
            log.info("landing_overtaken", status=run.task.status)
            return False
        log.info("landed", status=run.task.status, merge_commit=run.merge_commit)
    return True


def _bound(run: TaskRun) -> AbstractContextManager[None]:
    return trace.bound(run.trace_id, run_id=run.pk, task_id=run.task_id, agent_id=run.agent_id)


def _merge(run: TaskRun, *, actor: str) -> None:
    project = run.task.project
    try:
        landed = merge.land(
            Path(project.root_path),
            branch=run.branch,
            base_branch=project.base_branch,
            landing_root=settings.BBB_HOME / "landing",
            message=f"{run.task.title}\n\n{run.summary}\n\nTask: {run.task.key}, attempt {run.attempt}",
            author_name=run.agent.name,
            # What was read is what lands, though the branch may have moved since.
            head_commit=run.head_commit,
        )
    except merge.MergeConflict as conflict:
        _send_back(run, conflict, actor=actor)
    except Exception as error:
        # Whatever it is: one task that cannot be landed must not keep every scheduler from all other work.
        log.warning("landing_failed", exc_info=not isinstance(error, git.GitError | merge.BranchMoved | OSError))
        _ask_for_help(run, str(error) or type(error).__name__, actor=actor)
    else:
        _done(run, landed, actor=actor)
        _clear_away(run)


@events.unit_of_work()
def _done(run: TaskRun, landed: merge.Landed, *, actor: str) -> None:
    _leave_review(run, TaskStatus.DONE, reason="merged", actor=actor)
    # No lease fences what has ended: the task's own move, just made, does.
    TaskRun.objects.filter(pk=run.pk).update(merge_commit=landed.commit, version=F("version") + 1)
    run.refresh_from_db(fields=["merge_commit", "version"])
    if landed.note:
        inbox.ask(
            ItemType.ALERT,
            task=run.task,
            title=f"A checkout was left behind: {run.task.title}",
            content=landed.note,
            dedupe_key=f"checkout:{run.task.project_id}",
            run_id=run.pk,
            actor=actor,
            trace_id=run.trace_id,
        )


@events.unit_of_work()
def _send_back(run: TaskRun, conflict: merge.MergeConflict, *, actor: str) -> None:
    """The base has moved on: the conflict is work for the agent that made the change."""
    base = run.task.project.base_branch
    comments.create_comment(
        body=f"Your work conflicts with `{base}`, which has moved on, in: {', '.join(conflict.files)}.\n\n"
        f"{conflict.text}\n\n"
        f"Run `git merge {base}` in your worktree, resolve the conflicts so that both changes hold, and commit.",
        author=actor,
        actor=actor,
        task=run.task,
        run_id=run.pk,
    )
    _leave_review(run, TaskStatus.TODO, reason="merge conflict", actor=actor)


@events.unit_of_work()
def _ask_for_help(run: TaskRun, message: str, *, actor: str) -> None:
    """Git refuses for a reason no agent can mend."""
    _leave_review(run, TaskStatus.BLOCKED, reason="cannot be merged", actor=actor)
    inbox.ask(
        ItemType.ALERT,
        task=run.task,
        title=f"Cannot be merged: {run.task.title}",
        content=f"{message}\n\nThe branch {run.branch} holds the work. Mend the repository, then retry the task.",
        dedupe_key=f"landing:{run.task_id}",
        run_id=run.pk,
        actor=actor,
        trace_id=run.trace_id,
    )


def _leave_review(run: TaskRun, to: TaskStatus, *, reason: str, actor: str) -> None:
    """Move the task on, if it still is this approval that is carried out, and not a later one, of other work."""
    task = run.task
    move_task(task, to, actor=actor, trace_id=run.trace_id, reason=reason, where=Q(approved_at=task.approved_at))


def _clear_away(run: TaskRun) -> None:
    """Remove the worktree of work that has landed. It is only tidying: a failure is logged, nothing more."""
    try:
        workspace.remove_worktree(
            Path(run.task.project.root_path),
            Path(run.workspace),
            root=starting.worktrees_root(),
            rescue_ref=f"refs/beebeebrain/rescue/{run.task.key}-{run.attempt}",
            delete_branch=True,
        )
    except (git.GitError, PathNotAllowed, OSError) as error:
        log.warning("worktree_kept", workspace=run.workspace, error=str(error))
