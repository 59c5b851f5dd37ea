"""Landing: approved work becomes part of the project's base branch.

**How.** The merge is computed with `git merge-tree --write-tree`, in an empty working tree of our own, and the
branch moves by compare-and-swap. Nothing is checked out, so the size of the repository does not matter, a conflict
or a crash leaves nothing behind, and whoever else commits to the base branch meanwhile is never overwritten: we
begin again from what they made of it. The empty working tree keeps the uncommitted `.gitattributes` of a person's
checkout out of the merge.

**A person's checkout of the base branch.** A clean one is fast-forwarded together with the branch. Anything else is
left: uncommitted changes, a file in the way of a new one, a git command under way. But a branch that moves under a
checkout makes it look as if the person had reverted what landed, and their next `git commit -a` would do so. So a
checkout that is left is detached at the commit it shows: no file and no index entry changes, `git status` lists
what it listed before, and work lands nevertheless. The price is that the person commits beside the base branch until
`git checkout <base>` takes them back to it; `Landed.note` tells them so.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestration import git
from orchestration.git import GitError, run_git

Fate = Literal["none", "updated", "left"]

ATTEMPTS = 5
TEXT_LIMIT = 16 * 1024
_UNKNOWN_OPTION = 129


class MergeConflict(Exception):
    """The work and the base branch changed the same lines or files. Nothing was changed."""

    def __init__(self, files: list[str], text: str) -> None:
        super().__init__(f"Merging would conflict in {', '.join(files[:10])}.")
        self.files = files
        self.text = text
        """What git says about each conflict."""


class BranchMoved(Exception):
    """The branch no longer ends at the commit that was approved. Nothing was changed."""


class _BaseMoved(Exception):
    """Somebody changed the base branch, or a checkout of it, while we were at it."""


@dataclass(frozen=True)
class Landed:
    """Where the work is now."""

    commit: str
    """The merge commit, or the work's own last commit after a fast-forward."""
    is_fast_forward: bool
    checkout: Fate
    """What became of a checkout of the base branch: there is none, it shows the work, or it was left as it is."""
    note: str = ""
    """For the person whose checkout was left: where it is, and how to go on."""


@dataclass(frozen=True)
class _Landing:
    repo: Path
    branch: str
    base_branch: str
    landing_root: Path
    message: str
    author_name: str
    head: str

    @property
    def ref(self) -> str:
        return f"refs/heads/{self.base_branch}"

    @property
    def reason(self) -> str:
        return f"beebeebrain: land {self.branch}"


def land(
    repo: Path,
    *,
    branch: str,
    base_branch: str,
    landing_root: Path,
    message: str,
    author_name: str = git.NAME,
    head_commit: str | None = None,
) -> Landed:
    """Bring `branch` into `base_branch`, by fast-forward or by a merge commit with `message`. Safe to repeat.

    `head_commit` is what was approved: raises BranchMoved when the branch ends elsewhere. Raises MergeConflict,
    with nothing changed, and GitError. Work that is in the base branch already answers with the commit that
    brought it there. Landings in one repository wait for each other, and each sees those before it.
    """
    git.validate_branch(branch)
    git.validate_branch(base_branch)
    with git.repository_lock(repo):
        head = _approved(repo, branch, base_branch, head_commit)
        landing = _Landing(repo, branch, base_branch, landing_root, message, author_name, head)
        for _ in range(ATTEMPTS):
            try:
                return _land(landing)
            except _BaseMoved:
                continue
    raise GitError(f"{base_branch!r} changed {ATTEMPTS} times while {branch!r} was landing. Try again.")


def _approved(repo: Path, branch: str, base_branch: str, expected: str | None) -> str:
    head = git.branch_commit(repo, branch)
    if head is None and expected is not None:
        # Landed and deleted before a crash, if the base branch has it.
        base = git.branch_commit(repo, base_branch)
        if base and git.find_commit(repo, expected) and git.is_ancestor(repo, expected, base):
            return expected
    if head is None:
        raise GitError(f"The repository has no branch {branch!r}.")
    if expected not in (None, head):
        raise BranchMoved(f"{branch!r} is at {head}, not at {expected}, which was approved.")
    return head


def _land(landing: _Landing) -> Landed:
    old = git.branch_commit(landing.repo, landing.base_branch)
    if old is None:
        raise GitError(f"The repository has no branch {landing.base_branch!r}.")
    if git.is_ancestor(landing.repo, landing.head, old):
        return _landed_before(landing, old)
    is_fast_forward = git.is_ancestor(landing.repo, old, landing.head)
    new = landing.head if is_fast_forward else _merge(landing, old)
    fate, note = _move(landing, old, new)
    return Landed(new, is_fast_forward, fate, note)


def _landed_before(landing: _Landing, base: str) -> Landed:
    listing = run_git(
        landing.repo, "rev-list", "--merges", "--parents", "--ancestry-path", f"{landing.head}..{base}", "--"
    )
    brought = [line.split()[0] for line in listing.splitlines() if landing.head in line.split()[2:]]
    commit = brought[-1] if brought else landing.head
    # We never leave a checkout on a branch that moved under it: one that is there shows the work.
    fate: Fate = "updated" if _checkouts(landing) else "none"
    return Landed(commit, not brought, fate)


def _merge(landing: _Landing, old: str) -> str:
    landing.landing_root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=landing.landing_root, prefix="merge-") as empty:
        env = {"GIT_DIR": str(git.common_directory(landing.repo)), "GIT_WORK_TREE": empty}
        options = ("--write-tree", "-z", "--name-only", "--messages")
        try:
            output = run_git(Path(empty), "merge-tree", *options, old, landing.head, env=env)
        except GitError as error:
            raise _refusal(error) from None
    tree = output.split("\0", 1)[0]
    parents = ("-p", old, "-p", landing.head)
    text = landing.message.replace("\0", "")
    return run_git(
        landing.repo, "commit-tree", tree, *parents, "-F", "-", input=text, env=git.author(landing.author_name)
    ).strip()


def _refusal(error: GitError) -> Exception:
    if error.returncode == _UNKNOWN_OPTION:
        wanted = ".".join(str(part) for part in git.MINIMUM_VERSION)
        return GitError(f"This git cannot merge without a checkout. Install git {wanted} or newer.", error.stderr)
    if error.returncode != 1:
        return error
    listing, _, messages = error.stdout.partition("\0\0")
    files = list(dict.fromkeys(git.printable(listing).split("\0")[1:]))
    return MergeConflict(files, _conflict_text(git.printable(messages)))


def _conflict_text(messages: str) -> str:
    """Read groups of: a number of paths, that many paths, a kind, a sentence."""
    fields = iter(messages.split("\0"))
    sentences = []
    for field in fields:
        if field.strip().isdigit():
            for _ in range(int(field)):
                next(fields, "")
            kind, sentence = next(fields, ""), next(fields, "").strip()
            if kind.startswith("CONFLICT"):
                sentences.append(sentence)
    return "\n".join(sentences)[:TEXT_LIMIT]


def _move(landing: _Landing, old: str, new: str) -> tuple[Fate, str]:
    """Move the base branch from `old` to `new`, with the first clean checkout of it; detach the others first."""
    detached: list[Path] = []
    follower: Path | None = None
    try:
        for checkout in _checkouts(landing):
            if follower is None and _is_clean(checkout, new):
                follower = checkout
            else:
                _detach(landing, checkout, old)
                detached.append(checkout)
        if follower and not _fast_forward(landing, follower, new):
            _detach(landing, follower, old)
            detached.append(follower)
        if git.branch_commit(landing.repo, landing.base_branch) != new:
            _swap(landing, old, new)
    except BaseException:
        for checkout in detached:
            _attach(landing, checkout)
        raise
    if detached:
        return "left", "\n".join(_advice(landing, checkout, old) for checkout in detached)
    return ("updated" if follower else "none"), ""


def _checkouts(landing: _Landing) -> list[Path]:
    found = git.checkouts(landing.repo)
    return [checkout.path for checkout in found if checkout.branch == landing.base_branch and checkout.path.is_dir()]


def _is_clean(checkout: Path, new: str) -> bool:
    """Tell whether nothing is uncommitted. New files do not count: git refuses to overwrite one."""
    try:
        root = run_git(checkout, "rev-parse", "--show-toplevel").removesuffix("\n")
        if Path(root).resolve() != checkout.resolve():
            return False
        status = run_git(checkout, "status", "--porcelain", "-z", "--untracked-files=no", "--ignore-submodules=none")
        return not status or _shows(checkout, new)
    except GitError:
        return False


def _shows(checkout: Path, new: str) -> bool:
    # A fast-forward that was killed half way: files and index are at the new commit, only the branch is not.
    is_same = run_git(checkout, "write-tree") == run_git(checkout, "rev-parse", f"{new}^{{tree}}")
    return is_same and not run_git(checkout, "diff-files", "--name-only", "--ignore-submodules=none")


def _fast_forward(landing: _Landing, checkout: Path, new: str) -> bool:
    # git compares every file with the index once more and changes none that differs; files it ignores are somebody's
    # too. Files come before the branch, so after a crash in between landing again finds and finishes it.
    options = ("--ff-only", "--quiet", "--no-stat", "--no-autostash", "--no-verify-signatures", "--no-overwrite-ignore")
    try:
        run_git(checkout, "merge", *options, new, env={"GIT_REFLOG_ACTION": landing.reason})
    except GitError:
        return False
    return True


def _detach(landing: _Landing, checkout: Path, old: str) -> None:
    _update_ref(landing, old, checkout, "--no-deref", "HEAD", old, old)


def _attach(landing: _Landing, checkout: Path) -> None:
    with suppress(GitError):
        if run_git(checkout, "rev-parse", "--abbrev-ref", "HEAD").strip() == "HEAD":
            run_git(checkout, "symbolic-ref", "HEAD", landing.ref)


def _swap(landing: _Landing, old: str, new: str) -> None:
    _update_ref(landing, old, landing.repo, landing.ref, new, old)


def _update_ref(landing: _Landing, old: str, directory: Path, *args: str) -> None:
    try:
        run_git(directory, "update-ref", "-m", landing.reason, *args)
    except GitError:
        if git.branch_commit(landing.repo, landing.base_branch) != old:
            raise _BaseMoved from None
        raise


def _advice(landing: _Landing, checkout: Path, old: str) -> str:
    base = landing.base_branch
    return (
        f"The work is on {base!r}, but {checkout} could not follow (uncommitted changes, files in the way, or git at work "
        f"there). Nothing in it was changed; it stays at commit {old[:12]}, on no branch. "
        f"To go on: commit or stash there if you need to, then `git checkout {base}`."
    )
