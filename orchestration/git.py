"""The one door to git: every command of ours runs here, with nothing of the repository's own in charge.

What a repository's configuration could start or ask is switched off for each command: hooks, the file system
monitor, pagers, editors, prompts, signing, background maintenance, network transports, replacement objects. The
operator's and the system's git configuration still count (identity aside), because line endings, safe directories
and filters such as Git LFS live there. Filter and merge drivers defined in `.git/config` also still run: without
them such a repository could not be checked out at all. That file never arrives by clone or commit, so it is the
operator's; keeping an agent from writing it is the sandbox's task.

Nothing here talks to a remote: a partial clone must hold the objects of its base branch.
This module imports no Django, so that a runner may use it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

MINIMUM_VERSION = (2, 38)
"""`git merge-tree --write-tree` begins here."""
NAME = "BeeBeeBrain"
EMAIL = "beebeebrain@localhost"
TIMEOUT_S = 300.0
LOCK_TIMEOUT_S = 600.0
TERM_GRACE_S = 5.0
STDERR_LIMIT = 16 * 1024

InvalidCode = Literal[
    "path_not_found", "not_a_repository", "not_repository_root", "repository_empty", "base_branch_missing"
]

# Given on the command line, so they win over every file.
_SAFE = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.pager": "cat",
    "core.sshCommand": "false",
    "core.quotePath": "false",
    "core.safecrlf": "false",
    "credential.helper": "",
    "commit.gpgSign": "false",
    "tag.gpgSign": "false",
    "log.showSignature": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "rerere.enabled": "false",
    "submodule.recurse": "false",
    "merge.autoStash": "false",
}
_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "false",
    "GIT_EDITOR": "false",
    "GIT_PAGER": "cat",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_ALLOW_PROTOCOL": "none",
    # What is reviewed must be what lands: a replacement could show one commit and land another.
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_AUTHOR_NAME": NAME,
    "GIT_AUTHOR_EMAIL": EMAIL,
    "GIT_COMMITTER_NAME": NAME,
    "GIT_COMMITTER_EMAIL": EMAIL,
}
_INHERITED = ("PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR")

_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)

_held = threading.local()


class GitError(Exception):
    """A git command failed, or could not be run."""

    def __init__(self, message: str, stderr: str = "", *, returncode: int | None = None, stdout: str = "") -> None:
        super().__init__(message)
        self.stderr = stderr
        self.returncode = returncode
        self.stdout = stdout


class GitStarved(GitError):
    """The machine had no descriptor, process or memory left to run git with. A moment later it may have."""


class RepositoryInvalid(Exception):
    """The path or branch cannot be used for a project. `code` is stable; the message says what to do."""

    def __init__(self, code: InvalidCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Checkout:
    """A working tree of a repository, the main one or a linked one."""

    path: Path
    head: str
    branch: str
    """Short name; empty where HEAD is detached."""


def run_git(
    directory: Path,
    *args: str,
    input: str | None = None,
    timeout_s: float = TIMEOUT_S,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run git in `directory`, the root of a working tree, and return what it prints.

    Bytes that are not UTF-8 come as surrogate escapes. A folder above `directory` is never taken for the
    repository. Raises GitError when git fails, is missing, or takes longer than `timeout_s`.
    """
    return _run(directory, args, input=input, timeout_s=timeout_s, env=env, limit=None)[0]


def read_git(directory: Path, *args: str, limit: int, timeout_s: float = TIMEOUT_S) -> tuple[str, bool]:
    """Run git like `run_git`, but stop it after `limit` bytes. Returns the text, and whether it was cut."""
    return _run(directory, args, input=None, timeout_s=timeout_s, env=None, limit=limit)


def author(name: str) -> dict[str, str]:
    """Return the environment that makes `name` the author of a commit; the committer is always us."""
    kept = "".join(character for character in name if character.isprintable() and character not in "<>")
    # Git strips these at both ends itself, and refuses a name of nothing else.
    return {"GIT_AUTHOR_NAME": kept.strip(" .,:;\"'\\") or NAME}


def printable(text: str) -> str:
    """Return git's output as text that can be stored and shown: bytes that are not UTF-8 become a replacement mark."""
    return text.encode(errors="surrogateescape").decode(errors="replace")


def git_version() -> tuple[int, ...]:
    """Return the version of the installed git, for a check at start against MINIMUM_VERSION."""
    words = run_git(Path("/"), "version").split()
    return tuple(int(part) for part in words[2].split(".")[:3] if part.isdigit())


def common_directory(repo: Path) -> Path:
    """Return the git directory that all working trees of a repository share."""
    return Path(_line(run_git(repo, "rev-parse", "--path-format=absolute", "--git-common-dir")))


@contextmanager
def repository_lock(repo: Path, *, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Hold the right to change a repository: one thread of one process at a time. Reentrant within a thread.

    Reading needs no lock. A git command started under the lock keeps it until it ends, even when the process
    that started it is killed. Raises GitError when others hold it for longer than `timeout_s`.
    """
    path = common_directory(repo) / "beebeebrain.lock"
    held = _held_locks()
    if path in held:
        yield
        return
    held[path] = _lock(path, timeout_s)
    try:
        yield
    finally:
        os.close(held.pop(path))


def validate_branch(name: str) -> str:
    """Return the name if git accepts it for a branch and no command can take it for an option, or raise GitError."""
    if name.startswith("-") or name == "HEAD" or not name.isprintable():
        raise GitError(f"{name!r} is no valid branch name.")
    try:
        run_git(Path("/"), "check-ref-format", f"refs/heads/{name}")
    except GitStarved:
        raise
    except GitError as error:
        raise GitError(f"{name!r} is no valid branch name.", error.stderr) from None
    return name


def branch_commit(repo: Path, branch: str) -> str | None:
    """Return the commit a local branch points to, or None when there is no such branch."""
    return find_commit(repo, f"refs/heads/{branch}")


def find_commit(repo: Path, revision: str) -> str | None:
    """Return the full id of the commit a revision names, or None."""
    try:
        return _line(run_git(repo, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"))
    except GitError as error:
        if error.returncode == 1:
            return None
        raise


def is_ancestor(repo: Path, ancestor: str, descendant: str) -> bool:
    """Tell whether one commit is contained in another's history; a commit contains itself."""
    try:
        run_git(repo, "merge-base", "--is-ancestor", ancestor, descendant)
    except GitError as error:
        if error.returncode == 1:
            return False
        raise
    return True


def checkouts(repo: Path) -> list[Checkout]:
    """Return every working tree registered with a repository, the main one first; bare ones left out."""
    found = []
    for block in run_git(repo, "worktree", "list", "--porcelain", "-z").split("\0\0"):
        fields = dict(line.partition(" ")[::2] for line in block.split("\0") if line)
        if fields and "bare" not in fields:
            branch = fields.get("branch", "").removeprefix("refs/heads/")
            found.append(Checkout(Path(fields["worktree"]), fields.get("HEAD", ""), branch))
    return found


def inspect_repository(path: Path, base_branch: str) -> str:
    """Return the head commit of the base branch of the repository whose root is `path`, or raise RepositoryInvalid."""
    if not path.is_dir():
        raise RepositoryInvalid("path_not_found", f"There is no folder {path}. Give the root of a repository.")
    _require_root(path)
    commit = _base_commit(path, base_branch)
    if commit:
        return commit
    branches = run_git(path, "for-each-ref", "--count=10", "--format=%(refname:short)", "refs/heads").split()
    if not branches:
        message = f"{path} has no commit yet. Make one first: git commit --allow-empty -m 'Begin'."
        raise RepositoryInvalid("repository_empty", message)
    message = f"{path} has no branch {base_branch!r}. Create it, or use one that exists: {', '.join(branches)}."
    raise RepositoryInvalid("base_branch_missing", message)


def _base_commit(path: Path, base_branch: str) -> str | None:
    try:
        return branch_commit(path, validate_branch(base_branch))
    except GitError:
        return None


def _require_root(path: Path) -> None:
    looked_up = {"GIT_CEILING_DIRECTORIES": ""}
    try:
        run_git(path, "rev-parse", "--git-dir", env=looked_up)
    except GitError as error:
        hint = error.stderr if "dubious ownership" in error.stderr else "Create one there with: git init."
        raise RepositoryInvalid("not_a_repository", f"{path} is no git repository. {hint}") from None
    try:
        root = _line(run_git(path, "rev-parse", "--show-toplevel", env=looked_up))
    except GitError:
        message = f"{path} has no working tree (a bare repository, or a .git folder). Give a clone with files."
        raise RepositoryInvalid("not_repository_root", message) from None
    if Path(root).resolve() != path.resolve():
        raise RepositoryInvalid("not_repository_root", f"{path} is inside the repository {root}. Give that path.")


def _held_locks() -> dict[Path, int]:
    if not hasattr(_held, "locks"):
        _held.locks = {}
    locks: dict[Path, int] = _held.locks
    return locks


def _lock(path: Path, timeout_s: float) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _not_run(f"The repository cannot be locked: {path}: {error.strerror}.", error) from error
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise GitError(f"The repository stayed locked for {timeout_s:g} s: {path}.") from None
            time.sleep(0.02)
        else:
            return descriptor


def _run(
    directory: Path,
    args: tuple[str, ...],
    *,
    input: str | None,
    timeout_s: float,
    env: Mapping[str, str] | None,
    limit: int | None,
) -> tuple[str, bool]:
    try:
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stderr:
            # Files, not pipes: nothing can block on them, whoever keeps them open.
            stdin.write((input or "").encode(errors="surrogateescape"))
            stdin.seek(0)
            process = _start(directory, args, stdin, stderr, env or {})
            output, is_cut = _collect(process, args, time.monotonic() + timeout_s, limit)
            text = output.decode(errors="surrogateescape")
            if process.returncode and not is_cut:
                raise _failure(args, process.returncode, text, stderr)
            return text, is_cut
    except (OSError, ValueError) as error:
        raise _not_run(f"git could not be started: {error}.", error) from error


def _start(
    directory: Path, args: tuple[str, ...], stdin: IO[bytes], stderr: IO[bytes], env: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    command = ["git", "--no-pager", *(word for item in _SAFE.items() for word in ("-c", "=".join(item)))]
    return subprocess.Popen(  # noqa: S603  (git, with arguments of ours; user text comes behind options)
        [*command, "-C", str(directory), *args],
        cwd="/",
        env=_environment(directory) | dict(env),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,  # a Ctrl-C meant for us must not cut git short
        pass_fds=tuple(_held_locks().values()),
    )


def _not_run(message: str, error: Exception) -> GitError:
    is_starved = isinstance(error, OSError) and error.errno in _SHORTAGES
    return GitStarved(message) if is_starved else GitError(message)


def _collect(
    process: subprocess.Popen[bytes], args: tuple[str, ...], deadline: float, limit: int | None
) -> tuple[bytes, bool]:
    output = bytearray()
    with cast(IO[bytes], process.stdout) as stream:
        poll = select.poll()
        poll.register(stream, select.POLLIN)
        while limit is None or len(output) <= limit:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                _end(process)
                raise GitError(f"git {args[0]} took too long and was stopped.")
            chunk = os.read(stream.fileno(), 65536)
            if not chunk:
                break
            output += chunk
    if limit is not None and len(output) > limit:
        _end(process)
        return bytes(output[:limit]), True
    try:
        process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        _end(process)
        raise GitError(f"git {args[0]} took too long and was stopped.") from None
    return bytes(output), False


def _end(process: subprocess.Popen[bytes]) -> None:
    # TERM first: git then removes its lock files, which KILL would leave behind for ever.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(TERM_GRACE_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _failure(args: tuple[str, ...], returncode: int, stdout: str, stream: IO[bytes]) -> GitError:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - STDERR_LIMIT))
    stderr = stream.read().decode(errors="replace").strip()
    reason = next((line for line in stderr.splitlines() if line.startswith(("fatal:", "error:"))), stderr[:500])
    message = f"git {args[0]} failed ({returncode}): {reason or 'no reason given'}"
    kind = GitStarved if any(os.strerror(shortage) in stderr for shortage in _SHORTAGES) else GitError
    return kind(message, stderr, returncode=returncode, stdout=stdout)


def _environment(directory: Path) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    ceiling = {"GIT_CEILING_DIRECTORIES": str(directory.resolve().parent)}
    return inherited | _ENVIRONMENT | ceiling


def _line(output: str) -> str:
    return output.removesuffix("\n")
