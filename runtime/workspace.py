"""A run's workspace: a git worktree with a branch of its own, what is committed in it, its diff and its removal.

Whatever changes a repository holds its lock; reading needs none. This module imports no Django.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestration import git
from orchestration.git import GitError, run_git
from runtime import worktrees
from runtime.worktrees import Record
from security.exceptions import PathNotAllowed
from security.paths import resolve_inside

FileStatus = Literal["added", "modified", "deleted", "renamed", "type_changed"]

RESCUE_PREFIX = "refs/beebeebrain/"
DIFF_LIMIT = 1024 * 1024
FILES_LIMIT = 5000
_ABSENT = "0" * 40
_STATUSES: dict[str, FileStatus] = {
    "A": "added",
    "M": "modified",
    "D": "deleted",
    "R": "renamed",
    "T": "type_changed",
}


@dataclass(frozen=True)
class Worktree:
    """Where a run works."""

    path: Path
    branch: str
    base_commit: str
    """The commit of the base branch that the work builds on; a diff starts here."""
    repo: Path


@dataclass(frozen=True)
class Removal:
    """What a removal left behind."""

    rescue_ref: str | None
    """Ref that holds the work no branch held, or None when there was none."""
    is_branch_deleted: bool


@dataclass(frozen=True)
class DiffFile:
    """One file of a diff. Lines are counted for text only."""

    path: str
    status: FileStatus
    additions: int
    deletions: int
    old_path: str = ""
    """Set for a renamed file."""
    is_binary: bool = False


@dataclass(frozen=True)
class Diff:
    """The difference between two commits, as a person reads it."""

    text: str
    """Unified diff; where it was too long, whole files are left out, or lines at the end of the first."""
    files: list[DiffFile]
    is_truncated: bool


def add_worktree(repo: Path, *, path: Path, branch: str, base_branch: str, root: Path | None = None) -> Worktree:
    """Make the worktree and its branch, from the head of the base branch. Safe to repeat.

    A worktree that is there already for this branch is returned with all its files; a branch left by an abandoned
    worktree is picked up with its commits; what a crash left half made is made anew. Raises PathNotAllowed when
    `path` leads out of `root` (its own parent when not given), and GitError when something else is in the way.
    """
    target = resolve_inside(path.parent if root is None else root, path)
    if git.validate_branch(branch) == base_branch:
        raise GitError(f"{branch!r} is the base branch; work needs a branch of its own.")
    with git.repository_lock(repo):
        base = git.branch_commit(repo, base_branch)
        if base is None:
            raise GitError(f"The repository has no branch {base_branch!r}.")
        record = _existing(repo, target, branch) or _create(repo, target, branch, base)
        worktrees.prepare(record, branch)
        return Worktree(path=target, branch=branch, base_commit=_merge_base(repo, base, branch), repo=repo)


def commit_all(worktree: Worktree, *, message: str, author_name: str) -> str:
    """Commit what is uncommitted, new files too and ignored ones not, and return the branch's head.

    Makes no empty commit. Call it when no process works in the worktree any more. Where the agent left its
    branch, the branch is brought to what it left; raises GitError when that would drop commits of the branch,
    and when a folder is a repository of its own, whose files no commit would hold.
    """
    with git.repository_lock(worktree.repo):
        record = worktrees.get(worktree.repo, worktree.path)
        worktrees.prepare(record, worktree.branch)
        is_elsewhere = record.branch() != worktree.branch
        if is_elsewhere:  # on no branch at all, so that the commit moves none that is not ours
            record.git("update-ref", "--no-deref", "HEAD", head_commit(worktree))
        if worktrees.stage_all(record) != record.tree() or (record.folder / "MERGE_HEAD").exists():
            options = ("--quiet", "--no-verify", "--allow-empty", "--allow-empty-message", "--cleanup=whitespace")
            text = message.replace("\0", "")
            record.git("commit", *options, "--file=-", input=text, env=git.author(author_name))
        return _rejoin(worktree, record) if is_elsewhere else head_commit(worktree)


def head_commit(worktree: Worktree) -> str:
    """Return the commit the worktree has checked out, or raise GitError."""
    head = worktrees.get(worktree.repo, worktree.path).head()
    if head is None:
        raise GitError(f"{worktree.path} has a branch without any commit checked out.")
    return head


def diff(repo: Path, *, base: str, head: str, limit: int = DIFF_LIMIT) -> Diff:
    """Return what `head` changed since it left `base`: branches or commits; at most `limit` bytes of text.

    Once the work has landed it is part of its base branch and differs in nothing: give the commit it started from.
    """
    ends = [_commit(repo, revision) for revision in (base, head)]
    span = (_merge_base(repo, *ends), ends[1])
    options = ("-r", "-M", "--no-ext-diff", "--no-textconv", "--ignore-submodules=none")
    text, is_cut = git.read_git(repo, "diff-tree", "-p", *options, *span, limit=limit)
    listing, is_list_cut = git.read_git(
        repo, "diff-tree", "--raw", "--numstat", "-z", *options, *span, limit=FILES_LIMIT * 1000
    )
    files = [] if is_list_cut else _parse_files(listing)
    shown = _cut(text) if is_cut else text
    return Diff(git.printable(shown), files[:FILES_LIMIT], is_cut or is_list_cut or len(files) > FILES_LIMIT)


def remove_worktree(
    repo: Path, path: Path, *, root: Path, rescue_ref: str | None, delete_branch: bool = False
) -> Removal:
    """Remove a worktree, after saving what no branch holds under `rescue_ref`; an old rescue is never overwritten.

    With `rescue_ref=None` such work makes it raise GitError and keep everything. It also keeps, and raises, on
    any doubt: a folder that is no worktree of this repository, one a person has locked, a repository inside it.
    `delete_branch` deletes the branch only if another branch holds its commits. A worktree that is gone already
    is no error. Raises PathNotAllowed for a path outside `root`. Ignored files are not saved.
    """
    target = resolve_inside(root, path)
    if target == root.resolve() or path.is_symlink():
        raise PathNotAllowed(f"{path.name!r} is no worktree.")
    with git.repository_lock(repo):
        record = worktrees.find(repo, target)
        if record is None:
            return _confirm_gone(repo, target)
        rescued = None if record.is_half_made() else _rescue(repo, record, rescue_ref)
        branch = record.made_for() or record.branch()
        worktrees.forget(repo, record)
        return Removal(rescued, delete_branch and _delete_if_merged(repo, branch))


def _existing(repo: Path, path: Path, branch: str) -> Record | None:
    record = worktrees.find(repo, path)
    if record is None:
        return None
    if record.is_half_made() or not path.exists():
        worktrees.forget(repo, record)
        return None
    if branch not in (record.made_for(), record.branch()):
        raise GitError(f"{path} is the worktree of {record.made_for() or record.branch()!r}, not of {branch!r}.")
    return record


def _create(repo: Path, path: Path, branch: str, base: str) -> Record:
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise GitError(f"{path} exists and is no worktree of {repo}. Move it away.")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if git.branch_commit(repo, branch) is None:
        run_git(repo, "branch", "--no-track", branch, base)
    _free_branch(repo, branch)
    run_git(repo, "worktree", "add", "--quiet", str(path), branch)
    return worktrees.get(repo, path)


def _free_branch(repo: Path, branch: str) -> None:
    # Only worktrees of ours whose folder is gone: `git worktree prune` would also drop a person's on a disk not mounted.
    for checkout in git.checkouts(repo):
        if checkout.branch == branch and not checkout.path.exists():
            record = worktrees.find(repo, checkout.path)
            if record and record.made_for():
                worktrees.forget(repo, record)


def _rejoin(worktree: Worktree, record: Record) -> str:
    head, ref = head_commit(worktree), f"refs/heads/{worktree.branch}"
    tip = git.branch_commit(worktree.repo, worktree.branch)
    if tip and tip != head and git.is_ancestor(worktree.repo, head, tip):
        return tip
    if tip and not git.is_ancestor(worktree.repo, tip, head):
        raise GitError(f"The worktree was left at {head[:12]}, which lacks commits of {worktree.branch!r}.")
    record.git("update-ref", ref, head, tip or _ABSENT)
    record.git("symbolic-ref", "HEAD", ref)
    return head


def _confirm_gone(repo: Path, path: Path) -> Removal:
    if path.exists():
        raise GitError(f"{path} is no worktree of {repo}; it was kept.")
    worktrees.discard(path)
    return Removal(None, False)


def _rescue(repo: Path, record: Record, ref: str | None) -> str | None:
    reason = record.locked_because()
    if reason is not None:
        raise GitError(f"{record.path} is locked ({reason or 'no reason given'}); it was kept.")
    try:
        commit = worktrees.snapshot(record) if record.path.exists() else record.head()
    except GitError as error:
        raise GitError(f"{record.path} could not be saved and was kept: {error}", error.stderr) from error
    if commit is None or run_git(repo, "for-each-ref", "--count=1", "--contains", commit, "refs/heads"):
        return None
    if ref is None:
        raise GitError(f"{record.path} holds work that is on no branch; it was kept.")
    return _keep(repo, commit, ref)


def _keep(repo: Path, commit: str, ref: str) -> str:
    if not ref.startswith(RESCUE_PREFIX):
        raise GitError(f"{ref!r} is no rescue ref; it has to begin with {RESCUE_PREFIX}.")
    run_git(repo, "check-ref-format", ref)
    number, name = 1, ref
    while (found := git.find_commit(repo, name)) not in (None, commit):
        number += 1
        name = f"{ref}-{number}"
    if found is None:
        run_git(repo, "update-ref", name, commit, _ABSENT)
    return name


def _delete_if_merged(repo: Path, branch: str) -> bool:
    tip, ref = git.branch_commit(repo, branch), f"refs/heads/{branch}"
    if tip is None or any(checkout.branch == branch for checkout in git.checkouts(repo)):
        return False
    holders = run_git(repo, "for-each-ref", "--format=%(refname)", "--contains", tip, "refs/heads").split()
    if set(holders) <= {ref}:
        return False
    run_git(repo, "update-ref", "-d", ref, tip)
    return True


def _commit(repo: Path, revision: str) -> str:
    found = git.find_commit(repo, revision)
    if found is None:
        raise GitError(f"The repository has no commit {revision!r}.")
    return found


def _merge_base(repo: Path, one: str, other: str) -> str:
    try:
        return run_git(repo, "merge-base", one, other).strip()
    except GitError as error:
        if error.returncode == 1:
            raise GitError(f"{other!r} and its base have no commit in common.") from None
        raise


def _parse_files(listing: str) -> list[DiffFile]:
    """Read `--raw --numstat -z`: first each file's status, then each file's counts, in the same order."""
    fields = iter(listing.split("\0"))
    names: list[tuple[FileStatus, str, str]] = []
    files: list[DiffFile] = []
    for field in fields:
        if field.startswith(":"):
            letter = field.rsplit(" ", 1)[1][0]
            old = next(fields) if letter == "R" else ""
            names.append((_STATUSES.get(letter, "modified"), old, next(fields)))
        elif field:
            added, deleted, path = field.split("\t", 2)
            if not path:  # renamed: two names follow
                next(fields), next(fields)
            status, old, name = names[len(files)]
            is_binary = added == "-"
            counts = (0, 0) if is_binary else (int(added), int(deleted))
            files.append(
                DiffFile(git.printable(name), status, *counts, old_path=git.printable(old), is_binary=is_binary)
            )
    return files


def _cut(text: str) -> str:
    end = text.rfind("\ndiff --git ")
    return text[: (end if end > 0 else text.rfind("\n")) + 1]
