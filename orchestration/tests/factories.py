"""Rows for tests: defaults, and what the test says about them."""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from orchestration.models import Agent, Project, Task
from orchestration.services import agents, projects, tasks
from orchestration.states import TaskStatus

_numbers = itertools.count(1)
ACTOR = "user:owner"


def make_repository(path: Path, files: dict[str, str] | None = None) -> Path:
    """Make a git repository with one commit on `main`."""
    if files is None and not path.exists():
        return copy_repository(_template(), path)
    return _make_repository(path, files or {"README.md": "Hello\n"})


def copy_repository(template: Path, path: Path) -> Path:
    """Copy a repository; a commit of our own takes git five times as long."""
    os.makedirs(path)
    for name, mode, content in _read(template):
        if content is None:
            os.mkdir(path / name)
        else:
            with open(os.open(path / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
    # The index knows its files by inode and time, and these are others.
    git(path, "update-index", "-q", "--refresh")
    return path


@functools.cache
def _read(template: Path) -> list[tuple[str, int, bytes | None]]:
    """Return what is in a folder, with its permissions; a folder in it has no content, and stands before what it holds."""
    found = [path for path in sorted(template.rglob("*")) if path.suffix != ".sample"]
    return [
        (str(path.relative_to(template)), path.stat().st_mode & 0o777, path.read_bytes() if path.is_file() else None)
        for path in found
    ]


@functools.cache
def _template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="bbb-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return _make_repository(folder / "repo", {"README.md": "Hello\n"})


def _make_repository(path: Path, files: dict[str, str]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    git(path, "init", "-q", "-b", "main")
    git(path, "add", "-A")
    git(path, "commit", "-q", "-m", "Begin")
    return path


def git(path: Path, *args: str) -> str:
    """Run git as a person would, with an identity and none of the machine's configuration."""
    identity = ["-c", "user.name=Owner", "-c", "user.email=owner@example.org"]
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
    }
    done = subprocess.run(
        ["git", *identity, *args], cwd=path, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def make_project(root: Path, **fields: Any) -> Project:
    """Create a project for a fresh repository at `root`, or for the one that is there."""
    fields = {"name": f"Hive {next(_numbers)}", "actor": ACTOR} | fields
    if (root / ".git").exists():
        return projects.create_project(root_path=str(root), **fields)
    # There is no need to ask git whether a copy of ours is a repository.
    return projects.add_project(root_path=str(make_repository(root).resolve()), **fields)


def make_agent(project: Project, **fields: Any) -> Agent:
    """Create an agent of the no-op provider."""
    return agents.create_agent(
        project, **{"name": f"Bee {next(_numbers)}", "provider": "noop", "actor": ACTOR} | fields
    )


def make_task(project: Project, **fields: Any) -> Task:
    """Create a task."""
    return tasks.create_task(project, **{"title": f"Task {next(_numbers)}", "actor": ACTOR} | fields)


def make_done(task: Task) -> Task:
    """Let a task be done by a move, so that those that wait for it hear of it."""
    return tasks.move_task(set_status(task, TaskStatus.REVIEW), TaskStatus.DONE, actor=ACTOR)


def set_status(task: Task, status: TaskStatus) -> Task:
    """Put a task into a status without a move, as a test's starting point."""
    Task.objects.filter(pk=task.pk).update(status=status)
    task.refresh_from_db()
    return task
