"""A minute of `make torture`, and what its schedule promises."""

from __future__ import annotations

import subprocess
import sys

import pytest
from django.db import connection

from tests.commands import ROOT
from tests.torture.schedule import parents_of, schedule

# So many as a machine with two cores works off in some minutes: each is a process, a worktree and a merge.
TASKS = 40


@pytest.mark.torture
@pytest.mark.timeout(900)
@pytest.mark.django_db  # it runs on the database of its suite, though it makes one of its own
def test_whatever_is_killed_every_task_ends_as_it_should_and_once() -> None:
    database = "postgres" if connection.vendor == "postgresql" else "sqlite"
    command = [sys.executable, "-m", "tests.torture", "--seconds", "60", "--tasks", str(TASKS), "--database", database]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-4000:]}"


def test_the_same_seed_does_the_same() -> None:
    assert schedule(7, 60, has_server=True) == schedule(7, 60, has_server=True) != schedule(8, 60, has_server=True)
    assert parents_of(7, 50) == parents_of(7, 50) != parents_of(8, 50)


def test_a_minute_has_faults_of_every_kind_and_only_a_server_is_restarted() -> None:
    deeds = {deed.what for deed in schedule(1, 60, has_server=True)}
    assert deeds >= {"kill", "stop", "terminate", "kill runner", "restart", "pause", "resume", "cancel", "retry"}
    assert "restart" not in {deed.what for deed in schedule(1, 60, has_server=False)}


def test_tasks_wait_for_earlier_ones_only() -> None:
    assert all(parent < number for number, parents in enumerate(parents_of(3, 400)) for parent in parents)
