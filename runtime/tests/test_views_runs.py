from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from django.utils import timezone

from orchestration.models import Agent, Project, Task
from orchestration.tests.clients import Client, error
from orchestration.tests.factories import git, make_agent, make_task
from runtime.models import RunLog, TaskRun
from runtime.services.finishing import finish_run
from runtime.states import LogKind, RunStatus
from runtime.tests.factories import ending, running
from security.roles import Role

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    return Client(Role.OPERATOR)


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=9)


@pytest.fixture
def run(project: Project, agent: Agent) -> TaskRun:
    return running(make_task(project), agent)


def say(run: TaskRun, *texts: str) -> None:
    for seq, text in enumerate(texts, 1):
        RunLog.objects.create(run=run, seq=seq, at=timezone.now(), kind=LogKind.TEXT, body={"text": text})


def worked(run: TaskRun) -> Path:
    """Give the run a branch with one commit, as if its agent had worked."""
    repo = Path(run.task.project.root_path)
    base = git(repo, "rev-parse", "main")
    git(repo, "checkout", "-q", "-b", "bbb/task-1")
    (repo / "new.txt").write_text("new\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "Work")
    TaskRun.objects.filter(pk=run.pk).update(base_commit=base, branch="bbb/task-1")
    return repo


def test_a_run_is_shown_with_its_task_and_cost(client: Client, run: TaskRun) -> None:
    finish_run(run, ending("failed", code="auth"))
    found = client.get(f"/runs/{run.pk}").json()
    assert (found["task"], found["agent"], found["project"]) == (run.task_id, run.agent_id, run.task.project_id)
    assert (found["status"], found["error_code"], found["cost_usd"]) == ("failed", "auth", "0.010000")
    assert (found["attempt"], found["epoch"], found["turns"]) == (1, 1, 2)


def test_what_only_the_scheduler_needs_is_not_shown(client: Client, run: TaskRun) -> None:
    assert not {"owner", "pid", "run_dir", "idempotency_key", "prompt"} & client.get(f"/runs/{run.pk}").json().keys()


def test_runs_are_listed_newest_first_and_filtered(client: Client, run: TaskRun, agent: Agent) -> None:
    finish_run(run, ending("finished"))
    second = running(make_task(run.task.project), agent)
    assert client.ids("/runs") == [second.pk, run.pk]
    assert client.ids("/runs", task=run.task_id) == [run.pk]
    assert client.ids("/runs", status="running") == [second.pk]
    assert client.ids("/runs", status=["running", "succeeded"], agent=agent.pk) == [second.pk, run.pk]
    assert client.ids("/runs", project=run.task.project_id) == [second.pk, run.pk]


def test_a_list_takes_as_many_queries_for_one_as_for_many(client: Client, run: TaskRun, agent: Agent) -> None:
    before = client.count_queries("/runs")
    for _ in range(3):
        running(make_task(run.task.project), agent)
    assert client.count_queries("/runs") == before


def test_a_log_is_read_on_from_the_last_line(client: Client, run: TaskRun) -> None:
    say(run, "one", "two", "three")
    page = client.get(f"/runs/{run.pk}/logs", limit=2).json()
    assert [(line["seq"], line["kind"], line["body"]["text"]) for line in page["lines"]] == [
        (1, "text", "one"),
        (2, "text", "two"),
    ]
    rest = client.get(f"/runs/{run.pk}/logs", after=page["next"]).json()
    assert ([line["seq"] for line in rest["lines"]], rest["next"]) == ([3], 3)
    assert client.get(f"/runs/{run.pk}/logs", after=3).json() == {"lines": [], "next": 3}


def test_a_log_takes_as_many_queries_for_one_line_as_for_many(client: Client, run: TaskRun, agent: Agent) -> None:
    say(run, "one")
    before = client.count_queries(f"/runs/{run.pk}/logs")
    other = running(make_task(run.task.project), agent)
    say(other, *"abcdef")
    assert client.count_queries(f"/runs/{other.pk}/logs") == before


@pytest.mark.parametrize(
    ("name", "value"), [("after", "-1"), ("after", "x"), ("after", str(2**70)), ("limit", "0"), ("limit", "1001")]
)
def test_lines_that_cannot_be_are_refused(client: Client, run: TaskRun, name: str, value: str) -> None:
    response = client.get(f"/runs/{run.pk}/logs", **{name: value})
    assert (response.status_code, error(response)[2]) == (400, name)


def test_the_diff_of_a_run_under_way_is_that_of_its_branch(client: Client, run: TaskRun) -> None:
    repo = worked(run)
    found = client.get(f"/runs/{run.pk}/diff").json()
    assert (found["base"], found["head"]) == (git(repo, "rev-parse", "main"), git(repo, "rev-parse", "bbb/task-1"))
    assert "+new" in found["text"]
    assert found["files"] == [
        {"path": "new.txt", "status": "added", "old_path": "", "additions": 1, "deletions": 0, "is_binary": False}
    ]
    assert not found["is_truncated"]


def test_the_diff_of_a_finished_run_stays_what_it_was(client: Client, run: TaskRun) -> None:
    repo = worked(run)
    head = git(repo, "rev-parse", "bbb/task-1")
    TaskRun.objects.filter(pk=run.pk).update(head_commit=head)
    (repo / "later.txt").write_text("later\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "Later")
    found = client.get(f"/runs/{run.pk}/diff").json()
    assert (found["head"], [file["path"] for file in found["files"]]) == (head, ["new.txt"])


def test_a_run_that_has_not_begun_has_no_diff(client: Client, run: TaskRun) -> None:
    assert error(client.get(f"/runs/{run.pk}/diff"))[:2] == (409, "no_diff")


def test_a_diff_whose_branch_is_gone_is_unavailable(client: Client, run: TaskRun) -> None:
    repo = worked(run)
    git(repo, "checkout", "-q", "main")
    git(repo, "branch", "-q", "-D", "bbb/task-1")
    assert error(client.get(f"/runs/{run.pk}/diff"))[:2] == (409, "diff_unavailable")


def test_a_diff_whose_repository_is_gone_is_unavailable(client: Client, run: TaskRun) -> None:
    shutil.rmtree(worked(run))
    assert error(client.get(f"/runs/{run.pk}/diff"))[:2] == (409, "diff_unavailable")


def test_cancelling_a_run_asks_its_task_to_stop(client: Client, run: TaskRun) -> None:
    response = client.post(f"/runs/{run.pk}/cancel")
    assert (response.status_code, response.json()["id"]) == (200, run.pk)
    assert Task.objects.get().cancel_requested_at is not None


def test_cancelling_a_run_that_waits_is_immediate(client: Client, run: TaskRun) -> None:
    finish_run(run, ending("blocked", message="?"))
    assert client.post(f"/runs/{run.pk}/cancel").json()["status"] == RunStatus.CANCELLED


def test_a_run_that_has_ended_cannot_be_cancelled(client: Client, run: TaskRun) -> None:
    finish_run(run, ending("finished"))
    assert error(client.post(f"/runs/{run.pk}/cancel"))[:2] == (409, "run_not_active")


def test_a_viewer_cancels_nothing(run: TaskRun) -> None:
    assert Client(Role.VIEWER).post(f"/runs/{run.pk}/cancel").status_code == 403
    assert Client(Role.VIEWER).get(f"/runs/{run.pk}/logs").status_code == 200
