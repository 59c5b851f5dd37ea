"""An upgrade while work is running: the database is migrated under the schedulers of the version before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection, migrations, models
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.migration import Migration
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from runtime.models import TaskRun
from tests.hive import ONCE_THROUGH, Hive, assert_log_is_whole, spent, statuses
from tests.schedulers import moves, slots_taken

pytestmark = pytest.mark.django_db(transaction=True)


class OfTomorrow(Migration):
    """What a migration of ours may do: add what the version before does not miss."""

    operations = [
        migrations.AddField("taskrun", "of_tomorrow", models.CharField(max_length=20, null=True)),
        migrations.AddIndex("taskrun", models.Index(fields=["of_tomorrow"], name="run_of_tomorrow")),
    ]


@contextmanager
def migrated(*, is_on_record: bool) -> Iterator[None]:
    """Migrate the database further than this code; afterwards, back."""
    migration = OfTomorrow("9999_of_tomorrow", "runtime")
    before = MigrationExecutor(connection).loader.project_state()
    _apply(migration, before)
    recorder = MigrationRecorder(connection)
    if is_on_record:
        recorder.record_applied("runtime", migration.name)
    try:
        yield
    finally:
        recorder.record_unapplied("runtime", migration.name)
        with connection.schema_editor() as editor:
            migration.unapply(before.clone(), editor)


def _apply(migration: Migration, before: ProjectState) -> None:
    with connection.schema_editor(atomic=migration.atomic) as editor:
        migration.apply(before.clone(), editor)


def test_what_runs_while_the_database_is_migrated_ends_as_it_should(hive: Hive) -> None:
    hive.site.start()
    long = hive.long_task()
    hive.begun(long)
    short = [hive.task("cost 0.25", "write a.txt x", "sleep 0.2") for _ in range(6)]
    with migrated(is_on_record=False):
        hive.open_gate()
        runs = hive.finished(long, *short)
    assert [moves(run) for run in runs] == [ONCE_THROUGH] * 7
    for run in runs:
        assert_log_is_whole(run, 1)
    assert spent() == (0.75 + 6 * 0.25, 7)
    assert slots_taken() == {}
    assert not hive.site.log("supervision_failed")


def test_a_scheduler_of_the_version_before_finishes_what_it_has_and_leaves_the_rest_to_the_next(hive: Hive) -> None:
    old = hive.site.start()
    long = hive.long_task()
    hive.begun(long)
    with migrated(is_on_record=True):
        waiting = hive.task("write a.txt x")
        hive.site.until(lambda: old.log("database_is_newer"), "it sees that it is of yesterday")
        hive.open_gate()
        hive.finished(long)
        assert statuses(waiting) == ["todo"]
        assert TaskRun.objects.count() == 1
    # To it the one that comes after looks the same: its code knows the database.
    assert old.stop() == 0
    hive.site.run_once()
    assert statuses(waiting) == ["review"]
