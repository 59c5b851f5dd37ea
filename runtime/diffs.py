"""The diff of a run, as the repository has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestration import git
from runtime import workspace
from runtime.exceptions import DiffUnavailable, NoDiff
from runtime.models import TaskRun
from runtime.workspace import DiffFile


@dataclass(frozen=True)
class RunDiff:
    """What a run changed, from the commit it started at to `head`."""

    base: str
    head: str
    text: str
    files: list[DiffFile]
    is_truncated: bool


def diff_of(run: TaskRun) -> RunDiff:
    """Return what the run changed; while it has not finished, what is on its branch. Raises NoDiff, DiffUnavailable."""
    if not run.base_commit or not (run.head_commit or run.branch):
        raise NoDiff
    repo = Path(run.task.project.root_path)
    try:
        head = run.head_commit or git.branch_commit(repo, run.branch)
        if head is None:
            raise DiffUnavailable(f"The branch {run.branch!r} is gone.")
        found = workspace.diff(repo, base=run.base_commit, head=head)
    except git.GitError as error:
        raise DiffUnavailable(str(error)) from None
    return RunDiff(run.base_commit, head, found.text, found.files, found.is_truncated)
