"""Two versions of the code at work on one database: the one that leaves, and the one that takes over."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from tests.commands import ROOT
from tests.hive import ONCE_THROUGH, Hive, assert_log_is_whole, spent
from tests.schedulers import moves, slots_taken

pytestmark = pytest.mark.django_db(transaction=True)

_MIGRATION = """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("runtime", "{latest}")]
    operations = [migrations.AddField("taskrun", "of_tomorrow", models.CharField(max_length=20, null=True))]
"""


def latest_migration() -> str:
    [(_, name)] = MigrationLoader(connection).graph.leaf_nodes("runtime")
    return str(name)


def manage(tree: Path, hive: Hive, *command: str) -> None:
    subprocess.run([sys.executable, "manage.py", *command], cwd=tree, env=hive.site.environment, check=True)


@pytest.fixture
def next_version(hive: Hive, tmp_path: Path) -> Iterator[Path]:
    """The tree of the next version, which has migrated the database."""
    tree, latest = tmp_path / "next", latest_migration()
    for package in {app.partition(".")[0] for app in settings.OUR_APPS} | {"beebeebrain", "api", "sql"}:
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    shutil.copy(ROOT / "manage.py", tree)
    (tree / "runtime" / "migrations" / "9999_of_tomorrow.py").write_text(_MIGRATION.format(latest=latest))
    yield tree
    manage(tree, hive, "migrate", "-v0", "runtime", latest)


def test_an_agent_of_the_version_before_is_adopted_by_the_next_when_its_scheduler_is_killed(
    hive: Hive, next_version: Path
) -> None:
    old = hive.site.start()
    long = hive.long_task()
    [before] = hive.begun(long)
    manage(next_version, hive, "migrate", "-v0")
    waiting = [hive.task("cost 0.25", "write a.txt x") for _ in range(3)]
    hive.site.until(lambda: old.log("database_is_newer"), "the old one sees that it is of yesterday")
    hive.site.tree = next_version
    new = hive.site.start()
    fresh = hive.finished(*waiting)
    assert {line["run_id"] for line in new.log("run_started")} == {run.pk for run in fresh}
    old.kill()
    hive.site.until(lambda: new.log("run_adopted"), "the next version has adopted the run")
    hive.open_gate()
    [after] = hive.finished(long)
    assert (after.pid, after.epoch) == (before.pid, 1)
    for run in (after, *fresh):
        assert moves(run) == ONCE_THROUGH
        assert_log_is_whole(run, 1)
    assert spent() == (1.5, 4)
    assert new.stop() == 0
    assert slots_taken() == {}
    assert not hive.site.log("supervision_failed")
