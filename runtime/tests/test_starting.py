from __future__ import annotations

import json
import os
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest
from pytest_django import Settings

from inbox.models import InboxItem
from llm.operator_settings import client_path
from orchestration.models import Agent, Project, Task
from orchestration.services.agents import update_agent
from orchestration.services.projects import update_project
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, git, make_task
from runtime import starting, supervision
from runtime.dispatcher import Dispatcher
from runtime.exceptions import StaleRun, StartFailed
from runtime.executors import local
from runtime.models import Slot, TaskRun
from runtime.rundir import ExitRecord, RunDirectory
from runtime.services import commands
from runtime.states import RunStatus
from runtime.supervision import Watch
from runtime.tests.factories import ending
from runtime.tests.halves import start
from runtime.tests.runners import until
from runtime.tests.starts import claimed, kill_runner, living, make_directory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]

SECRET = "sk-ant-api03-abcdefghijklmnop"


@pytest.fixture
def run(project: Project, agent: Agent) -> TaskRun:
    return claimed(make_task(project, description="noop: hang"), agent)


def ended(directory: RunDirectory) -> ExitRecord:
    """Wait for the runner."""
    found: ExitRecord = until(directory.exit, "the runner to end")
    return found


def started(run: TaskRun) -> RunDirectory:
    """Start a run and wait until its runner has said who it is."""
    directory = start(run)
    until(directory.start, "the runner to start")
    return directory


def asked(run: TaskRun) -> dict[str, Any]:
    """Return what the runner of a run is asked to do."""
    request: dict[str, Any] = json.loads((start(run).path / "request.json").read_text())
    return request


def nothing_is_there(home: Path) -> bool:
    return not (home / "runs").exists() and not living(home)


# A start


def test_a_started_run_is_a_process_with_its_mark_that_says_who_it_is(run: TaskRun, home: Path) -> None:
    directory = started(run)
    start = directory.start()
    assert start is not None
    found = TaskRun.objects.get()
    assert (found.status, found.run_dir) == (RunStatus.RUNNING, str(directory.path))
    assert (found.pid, found.pid_start_ticks, found.boot_id) == (start.pid, start.start_ticks, start.boot_id)
    assert start.pid in [process.pid for process in living(home)]


def test_a_started_run_has_a_worktree_on_a_branch_of_its_own(run: TaskRun, project: Project, home: Path) -> None:
    start(run)
    found = TaskRun.objects.get()
    assert found.workspace == str(home / "worktrees" / project.slug / run.task.key)
    assert git(Path(found.workspace), "branch", "--show-current") == f"bbb/{run.task.key}" == found.branch
    assert found.base_commit == git(Path(project.root_path), "rev-parse", "main")


def test_a_runner_leads_a_session_of_its_own_so_that_no_signal_meant_for_us_reaches_it(run: TaskRun) -> None:
    start = started(run).start()
    assert start is not None
    assert os.getsid(start.pid) == start.pid != os.getsid(0)


# The handshake


@pytest.mark.parametrize("changes", [{"owner": "scheduler-two"}, {"epoch": 7}, {"status": RunStatus.RUNNING}])
def test_who_loses_the_handshake_starts_nothing(run: TaskRun, home: Path, changes: dict[str, Any]) -> None:
    TaskRun.objects.update(**changes)
    with pytest.raises(StaleRun):
        start(run)
    assert nothing_is_there(home)
    assert not (home / "worktrees").exists()


def test_a_process_of_a_start_that_was_superseded_meanwhile_is_ended(
    run: TaskRun, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch, pids = local.launch, list[int]()

    def overtaken(directory: Path, environment: dict[str, str]) -> int:
        pids.append(launch(directory, environment))
        TaskRun.objects.update(owner="scheduler-two", epoch=2)  # our lease was over
        return pids[0]

    monkeypatch.setattr(local, "launch", overtaken)
    with pytest.raises(StaleRun):
        start(run)
    assert pids and not living(home)


# What keeps a run from starting


def test_a_missing_login_has_a_code_and_starts_nothing(run: TaskRun, agent: Agent, home: Path) -> None:
    Agent.objects.update(provider="claude_code")
    run.refresh_from_db()
    with pytest.raises(StartFailed, match="log in") as failed:
        start(run)
    assert failed.value.code == "client_login_missing"
    assert nothing_is_there(home)


def test_a_missing_client_has_a_code_and_starts_nothing(
    run: TaskRun, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Agent.objects.update(provider="claude_code")
    run.refresh_from_db()
    monkeypatch.setitem(sys.modules, "claude_agent_sdk", None)
    with pytest.raises(StartFailed, match="not installed") as failed:
        start(run)
    assert failed.value.code == "client_missing"
    assert nothing_is_there(home)


def test_a_repository_without_its_base_branch_has_a_code(run: TaskRun, project: Project, home: Path) -> None:
    git(Path(project.root_path), "branch", "-m", "main", "trunk")
    with pytest.raises(StartFailed, match="no branch 'main'") as failed:
        start(run)
    assert failed.value.code == "workspace_failed"
    assert nothing_is_there(home)


def test_a_run_directory_that_is_there_is_somebody_elses(run: TaskRun, home: Path, tmp_path: Path) -> None:
    make_directory(run, tmp_path)
    with pytest.raises(StartFailed, match="exists already") as failed:
        start(run)
    assert failed.value.code == "protocol"
    assert not living(home)


def test_a_run_directory_that_cannot_be_made_is_worth_another_attempt(run: TaskRun, home: Path) -> None:
    home.mkdir()
    (home / "runs").write_text("no folder")
    with pytest.raises(StartFailed) as failed:
        start(run)
    assert failed.value.code == "crashed"


def test_what_could_not_be_started_fails_in_the_inbox_and_gives_its_slots_back(
    project: Project, agent: Agent, home: Path
) -> None:
    make_task(project)
    git(Path(project.root_path), "branch", "-m", "main", "trunk")
    assert Dispatcher().dispatch()
    run = TaskRun.objects.select_related("task").get()
    assert (run.status, run.error_code, run.task.status) == (RunStatus.FAILED, "workspace_failed", TaskStatus.FAILED)
    assert InboxItem.objects.get().content.startswith("workspace_failed: ")
    assert set(Slot.objects.values_list("running", flat=True)) == {0}
    assert nothing_is_there(home)


# The request


def test_the_smaller_limit_of_agent_and_task_holds(project: Project, agent: Agent) -> None:
    update_agent(agent, actor=ACTOR, max_turns=10, timeout_s=600, max_cost_usd=Decimal(3))
    tight = make_task(project, limits={"turns": 5, "minutes": 0.5, "usd": 1.5})
    request = asked(claimed(tight, agent))
    assert (request["max_turns"], request["time_cap_s"], request["max_cost_usd"]) == (5, 30.0, 1.5)


def test_a_limit_of_the_task_does_not_widen_that_of_the_agent(project: Project, agent: Agent) -> None:
    update_agent(agent, actor=ACTOR, max_turns=10, timeout_s=600, max_cost_usd=Decimal(3))
    wide = make_task(project, limits={"turns": 50, "minutes": 60, "usd": 99})
    request = asked(claimed(wide, agent))
    assert (request["max_turns"], request["timeout_s"], request["max_cost_usd"]) == (10, 600.0, 3.0)


def test_checks_of_the_project_come_before_those_of_the_task(project: Project, agent: Agent) -> None:
    update_project(project, actor=ACTOR, checks=["make lint"])
    assert asked(claimed(make_task(project, checks=["make test"]), agent))["checks"] == ["make lint", "make test"]


def test_a_new_session_begins_with_the_first_start(run: TaskRun) -> None:
    request = asked(run)
    assert len(request["session_id"]) == 36
    assert (request["is_resumed"], request["session_cost_usd"]) == (False, 0.0)


def test_a_session_is_resumed_with_what_it_has_cost_so_far(run: TaskRun, agent: Agent) -> None:
    directory = start(run)
    supervision.conclude(Watch(run=run, directory=directory), ending("blocked", message="?"))
    commands.resume_task(Task.objects.get(), actor=ACTOR)
    request = asked(claimed(run.task, agent))
    assert (request["session_id"], request["is_resumed"]) == ("session-1", True)
    assert (request["epoch"], request["session_cost_usd"]) == (2, 0.01)


# The setup command


def test_setup_that_was_cut_off_is_done_again_and_then_no_more(project: Project, agent: Agent) -> None:
    update_project(project, actor=ACTOR, setup_command="test -e again || { touch again; exec sleep 60; }")
    task = make_task(project)
    run = claimed(task, agent)
    directory = start(run)
    until((Path(run.workspace) / "again").exists, "the setup to begin")
    kill_runner(run)
    supervision.conclude(Watch(run=run, directory=directory), supervision.gone(run, directory))

    second = claimed(task, agent)
    directory = start(second)
    assert directory.request().setup_command
    assert ended(directory).outcome == "finished"
    supervision.conclude(Watch(run=second, directory=directory), ending("interrupted"))

    assert asked(claimed(task, agent))["setup_command"] == ""


def test_setup_that_failed_is_done_again(project: Project, agent: Agent) -> None:
    update_project(project, actor=ACTOR, setup_command="exit 1")
    task = make_task(project)
    run = claimed(task, agent)
    directory = start(run)
    supervision.conclude(Watch(run=run, directory=directory), ended(directory))
    commands.retry_task(Task.objects.get(), actor=ACTOR)
    assert asked(claimed(Task.objects.get(), agent))["setup_command"] == "exit 1"


# Secrets


def test_the_run_directory_holds_no_secret(
    project: Project, agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    client_path()
    # The setup ends the run before the client would begin.
    update_project(project, actor=ACTOR, setup_command="exit 1")
    update_agent(agent, actor=ACTOR, provider="claude_code", persona=f"Your key is {SECRET}.")
    run = claimed(make_task(project, title=f"Use {SECRET}", description=f"token={SECRET}"), agent)
    directory = started(run)
    environment = psutil.Process(run.pid).environ()
    assert ended(directory).code == "setup_failed"
    assert environment["ANTHROPIC_API_KEY"] == SECRET
    written = [path.read_text() for path in directory.path.rglob("*") if path.is_file()]
    assert written and not [text for text in written if SECRET in text]


def test_a_client_that_needs_no_key_is_given_none(run: TaskRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    monkeypatch.setenv("DATABASE_PASSWORD", SECRET)
    started(run)
    assert SECRET not in psutil.Process(run.pid).environ().values()


def test_the_mark_of_a_run_is_of_this_installation_only(run: TaskRun, settings: Settings, tmp_path: Path) -> None:
    here = starting.directory_of(run).tag
    settings.BBB_HOME = tmp_path / "another-home"
    assert starting.directory_of(run).tag != here
