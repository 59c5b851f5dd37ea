"""A small real repository, and what tests ask of one."""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from orchestration.git import run_git
from orchestration.tests.factories import copy_repository


def make_repository(path: Path, files: dict[str, str | None] | None = None) -> Path:
    return _make_repository(path, files) if files else copy_repository(_template(), path)


@functools.cache
def _template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="bbb-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return _make_repository(folder / "repo", {"README": "one\ntwo\nthree\n"})


def _make_repository(path: Path, files: dict[str, str | None]) -> Path:
    path.mkdir(parents=True)
    run_git(path, "init", "-q", "-b", "main")
    commit(path, files, "Begin")
    return path


def commit(checkout: Path, files: dict[str, str | None], message: str = "Change") -> str:
    """Write files (None deletes one) and commit them."""
    for name, text in files.items():
        path = checkout / name
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    run_git(checkout, "add", "--all", "--force", "--", *files)
    run_git(checkout, "commit", "-q", "-m", message)
    return commit_of(checkout)


def commit_of(checkout: Path, revision: str = "HEAD") -> str:
    return run_git(checkout, "rev-parse", "--verify", revision).strip()


def status(checkout: Path) -> str:
    return run_git(checkout, "status", "--porcelain", "--untracked-files=all")


def show(repo: Path, revision: str, path: str) -> str:
    return run_git(repo, "show", f"{revision}:{path}")


def everything(repo: Path) -> dict[str, object]:
    """Return all that a refused operation must leave alone: refs, worktrees, and the bytes of every file."""
    files = {path: path.read_bytes() for path in sorted(repo.rglob("*")) if path.is_file() and ".git" not in path.parts}
    return {
        "refs": run_git(repo, "for-each-ref"),
        "head": (repo / ".git/HEAD").read_text(),
        "worktrees": run_git(repo, "worktree", "list", "--porcelain"),
        "status": status(repo),
        "files": files,
        "git": sorted(path.name for path in (repo / ".git").iterdir() if path.name != "beebeebrain.lock"),
    }


def start_python(code: str, *args: object) -> subprocess.Popen[str]:
    """Start Python with the project importable; standard input and output are pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
