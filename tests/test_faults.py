"""Faults of the machine below us, of which docs/faults.md has the whole list: stopped writers, cut connections, full disks, clocks."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import psutil
import psycopg
import pytest
import time_machine
from django.db import OperationalError, connection
from django.db.models import F
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from events.services import unit_of_work
from events.wakeup import Listener
from orchestration.git import GitError
from orchestration.models import Agent, Project, Task
from orchestration.services.tasks import update_task
from orchestration.states import TaskStatus
from orchestration.tests.clients import ROOT
from orchestration.tests.factories import ACTOR, make_agent, make_project, make_task
from runtime import leases, recovery, schedulers, workspace
from runtime.database import DATABASE_AWAY
from runtime.dispatcher import Dispatcher
from runtime.executors import local
from runtime.models import SchedulerInstance, TaskRun
from runtime.processes import start_ticks
from runtime.rundir import StartRecord
from runtime.states import RunStatus
from runtime.tests.runners import until
from runtime.tests.starts import begun, make_directory, own_home
from security.roles import Role
from security.tests.factories import make_user

pytestmark = pytest.mark.django_db(transaction=True)

on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="a fault of SQLite")
on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="a fault of PostgreSQL")

# Changes a row, and neither commits nor gives up.
_HOLDER = """
import os, signal, sys
vendor, place = sys.argv[1:]
if vendor == "sqlite":
    import sqlite3
    cursor = sqlite3.connect(place, isolation_level=None).cursor()
    cursor.execute("BEGIN IMMEDIATE")
else:
    import psycopg
    cursor = psycopg.connect(place).cursor()
cursor.execute("UPDATE orchestration_task SET title = 'torn'")
os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.fixture(autouse=True)
def home(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    with own_home(settings, tmp_path) as home:
        yield home


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo")


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=4)


@pytest.fixture
def task(project: Project) -> Task:
    return make_task(project, title="Whole")


def make_client() -> APIClient:
    """Return an administrator's client, which is answered what is an error of the database elsewhere."""
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(make_user(Role.ADMIN))
    return client


def conninfo() -> str:
    """Return how another client of PostgreSQL finds the test's database."""
    given = connection.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    return psycopg.conninfo.make_conninfo(**{name: given[name] for name in names if name in given})


@contextmanager
def stopped_holder() -> Iterator[subprocess.Popen[bytes]]:
    """Give a process that was stopped inside a transaction which has changed every task."""
    place = conninfo() if connection.vendor == "postgresql" else str(connection.settings_dict["NAME"])
    process = subprocess.Popen([sys.executable, "-c", _HOLDER, connection.vendor, place])
    try:
        seen = psutil.Process(process.pid)
        until(lambda: seen.status() == psutil.STATUS_STOPPED, "the writer to be stopped")
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def impatience() -> Iterator[None]:
    """Wait for a lock only a moment, as if the time that the settings give were over."""
    if connection.vendor == "sqlite":
        with patch.object(connection, "patience_s", 0.05):
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout=50")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout=0")


def test_a_writer_that_is_stopped_in_its_transaction_holds_up_writers_and_no_reader(task: Task) -> None:
    client, path = make_client(), f"{ROOT}/tasks/{task.pk}"
    with stopped_holder() as holder, impatience():
        refused = client.post(f"{path}/pause", {})
        assert (refused.status_code, refused["Retry-After"]) == (503, "1")
        assert client.get(path).json()["title"] == "Whole"
        holder.kill()
        holder.wait()
    # What it had not committed is gone with it, and so is its lock.
    assert client.post(f"{path}/pause", {}).json()["title"] == "Whole"


@on_postgresql
def test_a_transaction_of_which_nothing_is_heard_is_ended_by_the_server(task: Task) -> None:
    """So that who is stopped for good does not keep its locks for good."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW idle_in_transaction_session_timeout")
        assert cursor.fetchone() == ("1min",)
        cursor.execute("SET idle_in_transaction_session_timeout = 1")

    def fall_silent() -> None:
        with unit_of_work():
            update_task(task, actor=ACTOR, title="Never")
            until(is_ended, "the server to end it")
            update_task(task, actor=ACTOR, title="Neither")

    number = connection.connection.info.backend_pid

    def is_ended() -> bool:
        with psycopg.connect(conninfo()) as other:
            return not other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [number]).fetchone()

    with pytest.raises(DATABASE_AWAY):
        fall_silent()
    connection.close()
    task.refresh_from_db()
    assert task.title == "Whole"


@on_postgresql
def test_a_command_whose_connection_is_cut_has_not_happened_and_can_be_given_again(task: Task) -> None:
    rename = partial(update_task, task, actor=ACTOR, title="New")

    def rename_and_be_cut_off() -> None:
        with unit_of_work(), connection.cursor() as cursor:
            rename()
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(OperationalError):
        rename_and_be_cut_off()
    connection.close()
    task.refresh_from_db()
    assert task.title == "Whole"
    assert rename().title == "New"


@on_postgresql
def test_who_listens_outlives_the_end_of_its_connection(project: Project) -> None:
    """A server that is restarted ends it while a scheduler sleeps: that must not end the scheduler."""
    with Listener(poll_s=30) as hints:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE 'LISTEN%%'"
            )
        assert not hints.wait(0.2)
        make_task(project)
        assert not hints.wait(0.01)  # it is opened here; what was before it is found by the slow poll
        make_task(project)
        assert hints.wait(30)


@contextmanager
def answers_lost(commits: int) -> Iterator[None]:
    """Cut the connection behind the next commits: they have happened, and nobody is told."""
    commit, left = connection._commit, iter(range(commits))  # type: ignore[attr-defined]

    def lose() -> None:
        commit()
        if next(left, None) is not None:
            raise OperationalError("server closed the connection unexpectedly")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(connection, "_commit", lose)
        yield


def test_a_command_whose_commit_was_not_answered_is_replayed_by_its_key(project: Project) -> None:
    client, draft = make_client(), {"project": project.pk, "title": "Once"}

    def post() -> Any:
        return client.post(f"{ROOT}/tasks", draft, headers={"Idempotency-Key": "once"})

    with answers_lost(1):
        assert post().status_code == 503
    again = post()
    assert (again.status_code, again["Idempotency-Replayed"]) == (201, "true")
    assert Task.objects.count() == 1


def test_a_claim_whose_commit_was_not_answered_is_found_and_started_once(agent: Agent, task: Task) -> None:
    dispatcher = Dispatcher()
    dispatcher.heartbeat()
    with answers_lost(1), pytest.raises(OperationalError):
        dispatcher.dispatch()
    run = TaskRun.objects.get()
    assert (run.status, run.epoch, run.run_dir) == (RunStatus.RUNNING, 1, "")
    dispatcher.run(once=True)
    run = TaskRun.objects.get()
    assert (run.status, run.attempt, run.epoch) == (RunStatus.SUCCEEDED, 1, 2)


@contextmanager
def full_disk(beyond: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (beyond, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@on_sqlite
def test_a_full_disk_refuses_what_is_new_and_spoils_nothing(project: Project) -> None:
    client = make_client()
    draft = {"project": project.pk, "title": "Big", "description": "x" * 60_000}

    def write() -> int:
        return client.post(f"{ROOT}/tasks", draft).status_code

    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with full_disk(500_000):
        answers = [write() for _ in range(30)]
    accepted = answers.count(201)
    assert set(answers) == {201, 503}
    assert Task.objects.count() == accepted
    assert write() == 201
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA integrity_check")
        assert cursor.fetchall() == [("ok",)]


@on_sqlite
def test_a_transaction_takes_the_write_lock_before_it_reads(project: Project) -> None:
    """What it has read cannot be changed by another before it writes: SQLite would refuse the write at once."""
    with unit_of_work(), sqlite3.connect(connection.settings_dict["NAME"], timeout=0) as other:
        assert Project.objects.exists()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("UPDATE orchestration_project SET name = 'theirs'")
    other.close()


@on_sqlite
def test_who_listens_keeps_nobody_from_shortening_the_wal(project: Project) -> None:
    with Listener(poll_s=0.01) as hints:
        make_task(project)
        assert hints.wait(30)
        connection.close()
        other = sqlite3.connect(connection.settings_dict["NAME"], timeout=0)
        is_busy, _, _ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        other.close()
    assert is_busy == 0


@pytest.mark.parametrize(("module", "step"), [(local, "launch"), (workspace, "add_worktree")])
def test_a_start_for_which_there_is_no_file_descriptor_is_made_later(
    agent: Agent, task: Task, monkeypatch: pytest.MonkeyPatch, module: ModuleType, step: str
) -> None:
    take, failed = getattr(module, step), list[Exception]()

    def exhausted(*given: Any, **named: Any) -> Any:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft if failed else 3, hard))
        try:
            return take(*given, **named)
        except (OSError, GitError) as error:
            failed.append(error)
            raise
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    monkeypatch.setattr(module, step, exhausted)
    Dispatcher().run(once=True)
    task.refresh_from_db()
    assert [os.strerror(errno.EMFILE) in str(error) for error in failed] == [True]
    assert task.status == TaskStatus.REVIEW
    assert [run.error_code for run in task.runs.order_by("attempt")] == ["crashed", ""]


def dead_scheduler() -> str:
    """Return a scheduler of this host whose pid belongs to another process by now."""
    scheduler = schedulers.register()
    SchedulerInstance.objects.filter(pk=scheduler.pk).update(pid_start_ticks=F("pid_start_ticks") - 1)
    return scheduler.pk


def test_after_another_boot_nothing_is_adopted_and_nothing_signalled(agent: Agent, task: Task, tmp_path: Path) -> None:
    run = begun(task, agent, dead_scheduler())
    directory = make_directory(run, tmp_path)
    ticks = start_ticks(os.getpid())
    assert ticks is not None
    # Pid and start time are those of this process; only the boot tells that it is not the runner.
    directory.write_start(StartRecord(pid=os.getpid(), start_ticks=ticks, boot_id="another", pgid=os.getpgid(0)))
    assert recovery.adopt_abandoned(owner="two") == []
    run.refresh_from_db()
    assert (run.status, run.attempt, run.owner) == (RunStatus.QUEUED, 1, "")


@on_postgresql
@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_of_ours_that_jumps_ends_no_lease(agent: Agent, task: Task, hours: int) -> None:
    living = schedulers.register()
    run = begun(task, agent, living.pk)
    with time_machine.travel(timezone.now() + timedelta(hours=hours)):
        assert recovery.adopt_abandoned(owner="two") == []
        assert abs(leases.now() - timezone.now()) > timedelta(minutes=59)
    run.refresh_from_db()
    assert run.owner == living.pk


def test_a_clock_that_goes_back_keeps_nobody_from_relieving_a_dead_scheduler(agent: Agent, task: Task) -> None:
    run = begun(task, agent, dead_scheduler())
    with time_machine.travel(timezone.now() - timedelta(hours=1)):
        recovery.adopt_abandoned(owner="two")
    run.refresh_from_db()
    assert (run.status, run.owner) == (RunStatus.QUEUED, "")
