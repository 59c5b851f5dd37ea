"""What a repository has on record about a linked worktree, and git commands that trust that record alone.

An agent can write anything into its worktree. A `.git` file there that points to a git directory of its own making
would have git run that directory's filters in our name; so git is told from outside where everything is, and
never reads the file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestration import git
from orchestration.git import GitError, run_git

MARKER = "beebeebrain"
"""File in the record: this worktree is complete, ours, and made for the branch named in it."""


@dataclass(frozen=True)
class Record:
    """The record of one worktree: `<common>/worktrees/<name>/`."""

    folder: Path
    common: Path
    path: Path

    def git(self, *args: str, input: str | None = None, env: Mapping[str, str] | None = None) -> str:
        place = {"GIT_DIR": str(self.folder), "GIT_COMMON_DIR": str(self.common), "GIT_WORK_TREE": str(self.path)}
        directory = self.path if self.path.is_dir() else self.common
        return run_git(directory, *args, input=input, env=place | dict(env or {}))

    def head(self) -> str | None:
        """Return the commit that is checked out, or None on a branch without one."""
        return self._quietly("rev-parse", "--verify", "--quiet", "HEAD^{commit}")

    def tree(self) -> str:
        """Return the tree of that commit, the empty one where there is none."""
        found = self._quietly("rev-parse", "--verify", "--quiet", "HEAD^{tree}")
        return found or self.git("hash-object", "-t", "tree", "-w", "--stdin", input="").strip()

    def branch(self) -> str:
        """Return the branch that is checked out, or an empty text where HEAD is detached."""
        return (self._quietly("symbolic-ref", "--quiet", "HEAD") or "").removeprefix("refs/heads/")

    def made_for(self) -> str:
        """Return the branch we made the worktree for, or an empty text where we did not, or not to the end."""
        return _text(self.folder / MARKER) or ""

    def locked_because(self) -> str | None:
        """Return why the worktree is locked, or None when it is not."""
        return _text(self.folder / "locked")

    def is_half_made(self) -> bool:
        # git holds this lock while it fills a new worktree; one that is still there was killed meanwhile.
        return not self.made_for() and self.locked_because() == "initializing"

    def _quietly(self, *args: str) -> str | None:
        try:
            return self.git(*args).strip()
        except GitError as error:
            if error.returncode == 1:
                return None
            raise


def find(repo: Path, path: Path) -> Record | None:
    """Return the record of the worktree at `path` (resolved), or None."""
    common = git.common_directory(repo)
    for entry in sorted((common / "worktrees").glob("*/gitdir")):
        try:
            recorded = entry.parent / os.fsdecode(entry.read_bytes()).removesuffix("\n")
        except FileNotFoundError:
            continue  # git, which a person or an agent runs as well, has removed it in this moment
        if Path(os.path.realpath(recorded.parent)) == path:
            return Record(entry.parent, common, path)
    return None


def get(repo: Path, path: Path) -> Record:
    """Return the record of a worktree that is there, or raise GitError."""
    found = find(repo, path.resolve())
    if found is None or not path.is_dir():
        raise GitError(f"{path} is no worktree of {repo}.")
    return found


def prepare(record: Record, branch: str) -> None:
    """Mark the worktree as ours and mend what a killed git or an agent left: a stale lock, a wrong `.git` file."""
    link = record.path / ".git"
    if link.is_dir() and not link.is_symlink():
        raise GitError(f"{record.path} was made a repository of its own. Move {link} away.")
    (record.folder / MARKER).write_text(f"{branch}\n")
    (record.folder / "index.lock").unlink(missing_ok=True)
    content = b"gitdir: " + os.fsencode(record.folder) + b"\n"
    if link.is_symlink() or not link.is_file() or link.read_bytes() != content:
        link.unlink(missing_ok=True)
        link.write_bytes(content)


def stage_all(record: Record, env: Mapping[str, str] | None = None) -> str:
    """Put all there is, ignored files aside, into the index and return its tree.

    Raises GitError where a folder is a repository of its own: a commit would name it and hold none of its files.
    """
    record.git("add", "--all", env=env)
    fields = record.git("diff-index", "--cached", "--raw", "-z", record.tree(), env=env).split("\0")
    is_new = {
        path: not info.startswith(":160000")
        for info, path in zip(fields[::2], fields[1::2], strict=False)
        if " 160000 " in info
    }
    nested = sorted(path for path in is_new if is_new[path] and path not in _submodules(record))
    if nested:
        names = ", ".join(nested)
        raise GitError(f"These folders are repositories of their own, so their files cannot be committed: {names}.")
    return record.git("write-tree", env=env).strip()


def snapshot(record: Record) -> str | None:
    """Return a commit of all there is, without touching HEAD or the index; HEAD's own commit when nothing differs.

    None where there is nothing at all. Raises GitError for what such a commit could not hold.
    """
    _refuse_submodule_work(record)
    index = record.folder / f"{MARKER}.index"
    env = {"GIT_INDEX_FILE": str(index)}
    try:
        if (record.folder / "index").exists():
            shutil.copy2(record.folder / "index", index)
        tree = stage_all(record, env)
        record.git("diff-files", "--quiet", "--ignore-submodules=none", env=env)
    finally:
        index.unlink(missing_ok=True)
    head = record.head()
    if tree == record.tree():
        return head
    parent = ("-p", head) if head else ()
    return record.git("commit-tree", tree, *parent, "-m", "Save uncommitted work").strip()


def forget(repo: Path, record: Record) -> None:
    """Delete a worktree's folder and its record. Saves nothing."""
    discard(record.path)
    run_git(repo, "worktree", "remove", "--force", "--force", str(record.path))


def discard(path: Path) -> None:
    """Delete a folder, and what an earlier, interrupted deletion of it left. Raises GitError when it cannot."""
    # Renamed first: a worktree is there whole or not at all, never half deleted and taken for somebody's changes.
    trash = path.with_name(f".{path.name}.removed")
    try:
        _delete(trash)
        if path.exists():
            path.rename(trash)
            _delete(trash)
    except OSError as error:
        raise GitError(f"{path} could not be deleted: {error}.") from error


def _delete(folder: Path) -> None:
    if not folder.exists():
        return
    try:
        shutil.rmtree(folder)
    except PermissionError:  # folders without write permission, as the caches of some build tools are
        for parent, names, _ in os.walk(folder):
            for name in names:
                if not os.path.islink(os.path.join(parent, name)):
                    os.chmod(os.path.join(parent, name), 0o700)
        shutil.rmtree(folder)


def _refuse_submodule_work(record: Record) -> None:
    for head in (record.folder / "modules").glob("**/HEAD"):
        if (head.parent / "objects").is_dir():
            env = {"GIT_DIR": str(head.parent), "GIT_WORK_TREE": str(record.folder)}
            if run_git(head.parent, "rev-list", "--max-count=1", "HEAD", "--all", "--not", "--remotes", "--", env=env):
                raise GitError(f"The submodule {head.parent.name!r} holds commits that were never pushed.")


def _submodules(record: Record) -> set[str]:
    try:
        text = record.git("config", "--file", ".gitmodules", "-z", "--get-regexp", r"^submodule\..*\.path$")
    except GitError:
        return set()
    return {entry.partition("\n")[2] for entry in text.split("\0")}


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return None
