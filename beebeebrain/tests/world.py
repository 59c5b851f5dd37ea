"""A small world for tests of the API as a whole: rows of every kind, and tasks in every status."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from llm.models import Breaker
from orchestration.models import Agent, Project, Task
from orchestration.services.comments import create_comment
from orchestration.services.dependencies import add_dependency
from orchestration.services.documents import create_document
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, git, make_agent, make_project, make_task, set_status
from runtime.models import RunLog, TaskRun
from runtime.services.commands import cancel_task, pause_task
from runtime.services.finishing import finish_run
from runtime.states import LogKind
from runtime.tests.factories import ending, running
from security.roles import Role
from security.tests.factories import make_token, make_user


def make_world(root: Path) -> User:
    """Make the rows, in a project at `root`; return an admin."""
    admin = make_user(Role.ADMIN, username="ada")
    project = make_project(root, name="Web shop")
    make_project(root, name="Zoo")
    agent = make_agent(project, name="Builder", max_parallel_runs=9)
    _make_tasks(project, agent)
    document = create_document(project, path="rules.md", title="Rules", body="Be kind.\n", tags=["rules"], actor=ACTOR)
    create_comment(document=document, body="To whom?", author=admin.username, actor=ACTOR)
    make_token(admin, name="robot")
    Breaker.objects.create(provider="claude_code", fingerprint="5b1f0c7de2a94813")
    return admin


def _make_tasks(project: Project, agent: Agent) -> None:
    first, last, held, cancelled = (make_task(project, assignee=agent) for _ in range(4))
    middle = make_task(project, title="In the middle", depends_on=[first])
    add_dependency(task=last, depends_on=middle, actor=ACTOR)
    pause_task(held, actor=ACTOR)
    cancel_task(cancelled, actor=ACTOR)
    set_status(make_task(project, parent=first), TaskStatus.DONE)
    _end(make_task(project), agent, "failed", code="auth")
    _end(make_task(project), agent, "blocked", message="Which one?")
    worked = _end(make_task(project, limits={"turns": 9}), agent, "finished")
    create_comment(task=worked.task, run_id=worked.pk, anchor="new.txt:1", body="Why?", author="ada", actor=ACTOR)
    running(make_task(project), agent)


def _end(task: Task, agent: Agent, outcome: str, **fields: Any) -> TaskRun:
    run = running(task, agent)
    RunLog.objects.create(run=run, seq=1, at=timezone.now(), kind=LogKind.TEXT, body={"text": "I begin."})
    TaskRun.objects.filter(pk=run.pk).update(log_seq=1, **_work(run))
    run.refresh_from_db()
    finish_run(run, ending(outcome, **fields))
    run.refresh_from_db()
    return run


def _work(run: TaskRun) -> dict[str, str]:
    """Commit something on a branch of the run's own."""
    repo, branch = Path(run.task.project.root_path), f"bbb/{run.task.key}"
    base = git(repo, "rev-parse", "main")
    git(repo, "checkout", "-q", "-b", branch, "main")
    (repo / "new.txt").write_text(f"{branch}\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "Work")
    head = git(repo, "rev-parse", branch)
    git(repo, "checkout", "-q", "main")
    return {"base_commit": base, "head_commit": head, "branch": branch}
