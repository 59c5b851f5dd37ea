"""A project that may not start anything costs the others nothing, however much it has to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from orchestration.models import Project, Task
from orchestration.services.agents import update_agent
from orchestration.services.projects import update_project
from orchestration.tests.factories import ACTOR, make_agent, make_project, make_task
from runtime.tests.factories import claim_all, running

pytestmark = pytest.mark.django_db

MANY = 5000


@pytest.fixture(autouse=True)
def wide(settings: Settings) -> None:
    settings.MAX_PARALLEL_RUNS = 50


def staffed(tmp_path: Path, name: str, **fields: int) -> Project:
    project = make_project(tmp_path / name, max_parallel_runs=1, **fields)
    make_agent(project, max_parallel_runs=1)
    return project


def fill(project: Project) -> None:
    running(make_task(project), project.agents.get())


def fill_agent(project: Project) -> None:
    update_project(project, actor=ACTOR, max_parallel_runs=9)
    fill(project)


def pause(project: Project) -> None:
    update_project(project, actor=ACTOR, is_paused=True)


def pause_agent(project: Project) -> None:
    update_agent(project.agents.get(), actor=ACTOR, status="paused")


@pytest.mark.parametrize("keep_back", [fill, fill_agent, pause, pause_agent])
def test_the_tasks_of_a_project_that_is_kept_back_are_not_even_looked_at(
    tmp_path: Path, keep_back: Callable[[Project], None]
) -> None:
    full, other = staffed(tmp_path, "full"), staffed(tmp_path, "other")
    keep_back(full)
    wanted = make_task(other, priority=4)
    Task.objects.bulk_create(Task(project=full, title="x", priority=0) for _ in range(MANY))
    with CaptureQueriesContext(connection) as queries:
        claimed = claim_all()
    assert [run.task_id for run in claimed] == [wanted.pk]
    asked = [query["sql"] for query in queries if 'FROM "orchestration_task"' in query["sql"]]
    assert asked
    # Each names whose tasks it wants, by project or one by one.
    assert [sql for sql in asked if f'"project_id" = {full.pk}' in sql] == []
    assert [sql for sql in asked if not re.search(r'"project_id" = |"id" (=|IN) ', sql)] == []


def test_projects_that_want_more_than_there_is_get_the_same(tmp_path: Path, settings: Settings) -> None:
    settings.MAX_PARALLEL_RUNS = 6
    projects = [make_project(tmp_path / name, max_parallel_runs=9) for name in ("one", "two", "three")]
    for project in projects:
        make_agent(project, max_parallel_runs=9)
    # The first has more, and all of it is urgent.
    Task.objects.bulk_create(Task(project=projects[0], title="x", priority=0) for _ in range(200))
    for project in projects[1:]:
        Task.objects.bulk_create(Task(project=project, title="x", priority=4) for _ in range(5))
    claimed = [run.task.project_id for run in claim_all()]
    assert sorted(claimed) == sorted([project.pk for project in projects] * 2)
