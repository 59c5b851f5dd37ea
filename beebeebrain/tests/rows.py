"""Rows of everything, for tests of the pages that show them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from llm.models import Breaker
from llm.services import record_usage
from orchestration.services.comments import create_comment
from orchestration.services.dependencies import add_dependency
from orchestration.services.documents import create_document
from orchestration.tests.factories import ACTOR, make_agent, make_project, make_task
from runtime.models import Duty, RunLog, SchedulerInstance
from runtime.services.finishing import finish_run
from runtime.tests.factories import ending, running
from security.models import IdempotentCommand
from security.services import create_token


def make_rows(root: Path, *, count: int = 1, first: int = 1) -> None:
    """Make so many rows of everything, each with projects, agents, tasks and people of its own."""
    for number in range(first, first + count):
        _make_row(root, number)


def staff(role: str, username: str = "") -> Client:
    """Return the browser of somebody who may log in to the admin, with a role if there is one of that name."""
    user = User.objects.create_user(username or role, is_staff=True)
    user.groups.add(Group.objects.get_or_create(name=role)[0])
    client = Client()
    client.force_login(user)
    return client


def _make_row(root: Path, number: int) -> None:
    project = make_project(root)
    agent, task = make_agent(project), make_task(project)
    add_dependency(make_task(project), depends_on=task, actor=ACTOR)
    run = running(task, agent)
    RunLog.objects.create(run=run, seq=1, at=timezone.now(), kind="text", body={"text": "Hello"})
    finish_run(run, ending("finished"))
    create_comment(body="Why?", author=ACTOR, actor=ACTOR, task=task)
    create_document(project, path="RULES.md", title="Rules", actor=ACTOR)
    record_usage(day=timezone.now().date(), provider="noop", model="none", project_id=project.pk, run_count=1)
    now = timezone.now()
    SchedulerInstance.objects.create(id=f"s{number}", pid=number, pid_start_ticks=1, started_at=now, heartbeat_at=now)
    Duty.objects.create(name=f"a {number}", until=now, due_at=now)
    IdempotentCommand.objects.create(
        scope="s", key=f"k{number}", fingerprint="f", status_code=201, body="{}", expires_at=now
    )
    later = now + timedelta(hours=1)
    Breaker.objects.create(provider="noop", fingerprint=f"f{number}", opened_at=now, reset_at=later)
    user = User.objects.create_user(f"person-{number}", is_staff=True)
    user.groups.add(Group.objects.get_or_create(name="viewer")[0])
    create_token(user, name="ci", scopes=["read"], actor=ACTOR)
