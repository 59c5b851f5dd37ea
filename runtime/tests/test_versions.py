from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test.utils import CaptureQueriesContext

from orchestration.models import Agent, Project
from orchestration.tests.factories import make_agent, make_task
from runtime import versions
from runtime.dispatcher import Dispatcher
from runtime.models import TaskRun
from runtime.tests.starts import begun, make_directory, start_process

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=4)


def migrate_further(app: str = "runtime") -> None:
    """Do what a newer version does to the record of migrations."""
    MigrationRecorder(connection).record_applied(app, "9999_of_tomorrow")


def test_this_code_knows_its_own_database() -> None:
    assert not versions.is_database_newer()


def test_a_migration_of_ours_that_is_not_in_this_code_is_of_a_newer_version() -> None:
    migrate_further()
    assert versions.is_database_newer()


def test_a_migration_of_somebody_elses_means_nothing() -> None:
    migrate_further("sessions")
    assert not versions.is_database_newer()


def test_after_the_first_time_one_query_tells() -> None:
    versions.is_database_newer()
    with CaptureQueriesContext(connection) as queries:
        versions.is_database_newer()
    assert len(queries) == 1


def test_a_scheduler_begins_nothing_in_a_database_of_a_newer_version_and_goes_on_with_what_it_has(
    project: Project, agent: Agent, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = Dispatcher()
    owner = scheduler.actor.removeprefix("scheduler:")
    process = start_process(make_directory(begun(make_task(project), agent, owner), tmp_path))
    make_task(project)
    migrate_further()
    for _ in range(2):
        scheduler.tick()
    [run] = TaskRun.objects.all()
    assert (run.status, run.owner) == ("running", owner)
    assert process.poll() is None
    assert caplog.text.count("database_is_newer") == 1
