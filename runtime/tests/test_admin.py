from __future__ import annotations

import re
import shutil
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from django.contrib.messages import get_messages
from django.contrib.messages.storage.fallback import FallbackStorage
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from events.models import Event
from events.states import EventType
from inbox.models import InboxItem
from orchestration.admin.bulk import command_rows
from orchestration.exceptions import Gone, TaskOpen, VersionConflict
from orchestration.models import Agent, Comment, Project, Task
from orchestration.services.agents import update_agent
from orchestration.states import AgentStatus, TaskStatus
from orchestration.tests.factories import git, make_agent, make_project, make_task, set_status
from runtime.admin.diff import _lines as lines_of
from runtime.models import TaskRun
from runtime.services.finishing import finish_run
from runtime.states import RunStatus
from runtime.tests.factories import ending, running

pytestmark = pytest.mark.django_db

TASKS = "admin:orchestration_task_changelist"
CONFIRMED = {"_form_submitted": "on"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo", max_parallel_runs=50)


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=50)


def test_an_agent_with_a_model_nobody_knows_is_refused_at_the_field(project: Project, admin_client: Client) -> None:
    fields = {
        "project": project.pk,
        "name": "Maya",
        "provider": "claude_code",
        "model": "sonett",
        "permission_mode": "acceptEdits",
        "status": "active",
        "enabled_tools": "Read",
        "max_parallel_runs": 1,
        "timeout_s": 60,
        "max_turns": 10,
        "max_tokens": 0,
        "max_cost_usd": "1.5",
    }
    response = admin_client.post(reverse("admin:orchestration_agent_add"), fields)
    assert "no model &#x27;sonett&#x27;" in response.content.decode()
    assert not Agent.objects.exists()


def act(client: Client, name: str, *tasks: Task) -> list[str]:
    """Run an action over tasks and return what the person is told."""
    response = client.post(reverse(TASKS), {"action": name, "_selected_action": [task.pk for task in tasks]})
    assert response.status_code == 302
    return [str(message) for message in get_messages(response.wsgi_request)]


def test_pause_applies_where_it_can_and_says_why_not_elsewhere(project: Project, admin_client: Client) -> None:
    waiting, done = make_task(project), set_status(make_task(project, title="Old"), TaskStatus.DONE)
    assert act(admin_client, "pause", waiting, done) == [
        "1 paused.",
        f"Old: Task {done.pk} is done; it cannot be paused.",
    ]
    assert Task.objects.get(pk=waiting.pk).is_held


@pytest.mark.parametrize(
    ("name", "here", "there"),
    [
        ("retry", TaskStatus.FAILED, TaskStatus.TODO),
        ("cancel", TaskStatus.TODO, TaskStatus.CANCELLED),
    ],
)
def test_a_command_moves_the_task(
    name: str, here: TaskStatus, there: TaskStatus, project: Project, admin_client: Client
) -> None:
    task = set_status(make_task(project), here)
    act(admin_client, name, task)
    assert Task.objects.get().status == there


def test_resume_lets_a_held_task_go(project: Project, admin_client: Client) -> None:
    task = make_task(project)
    act(admin_client, "pause", task)
    act(admin_client, "resume", task)
    assert not Task.objects.get().is_held


def test_approve_closes_the_review(project: Project, agent: Agent, admin_client: Client) -> None:
    finish_run(running(make_task(project), agent), ending("finished"))
    assert act(admin_client, "approve", Task.objects.get()) == ["1 approved."]
    assert Task.objects.get().approved_at is not None


def test_run_queues_the_next_attempt(project: Project, agent: Agent, admin_client: Client) -> None:
    task = make_task(project, not_before=timezone.now() + timedelta(days=1))
    assert act(admin_client, "run", task) == ["1 queued."]
    assert TaskRun.objects.get().status == RunStatus.QUEUED


def test_what_is_over_is_archived_and_taken_out_again(project: Project, admin_client: Client) -> None:
    waiting, done = make_task(project, title="New"), set_status(make_task(project), TaskStatus.DONE)
    assert act(admin_client, "archive", waiting, done) == ["1 archived.", f"New: {refusal_to_archive(waiting)}"]
    assert Task.objects.get(pk=done.pk).is_archived
    response = admin_client.post(
        f"{reverse(TASKS)}?archived=only", {"action": "restore", "_selected_action": [done.pk]}
    )
    assert response.status_code == 302
    assert not Task.objects.get(pk=done.pk).is_archived


def refusal_to_archive(task: Task) -> str:
    return f"Task {task.pk} is todo. {TaskOpen.__doc__}"


@pytest.mark.parametrize("name", ["run", "pause", "resume", "retry", "cancel", "approve", "archive"])
def test_a_refusal_is_reported(name: str, project: Project, admin_client: Client) -> None:
    done = set_status(make_task(project, title="Old"), TaskStatus.DONE)
    if name == "archive":
        done = make_task(project, title="Old")
    (message,) = act(admin_client, name, done)
    assert message.startswith("Old: ")


def test_many_refusals_are_counted(project: Project, admin_client: Client) -> None:
    done = [set_status(make_task(project), TaskStatus.DONE) for _ in range(12)]
    assert act(admin_client, "pause", *done)[-1] == "2 more refused."


def test_a_row_somebody_else_has_changed_meanwhile_is_refused_and_the_others_are_done(
    project: Project, admin_client: Client
) -> None:
    rows = [make_agent(project, name=name) for name in ("First", "Stale", "Gone", "Last")]
    update_agent(Agent.objects.get(name="Stale"), role="tester", actor="user:owner")
    Agent.objects.filter(name="Gone").delete()
    request = admin_client.get(reverse(TASKS)).wsgi_request
    request._messages = FallbackStorage(request)  # type: ignore[attr-defined]
    command_rows(request, rows, partial(update_agent, status=AgentStatus.PAUSED), "paused")
    said = [str(message) for message in get_messages(request)]
    assert said == ["2 paused.", f"Stale: {VersionConflict.__doc__}", f"Gone: {Gone.__doc__}"]


def test_too_many_rows_are_refused_as_a_whole(
    project: Project, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.admin.bulk.MAX_ROWS", 1)
    (said,) = act(admin_client, "pause", make_task(project), make_task(project))
    assert said == "2 are selected; one command reaches at most 1. Select fewer."
    assert not Task.objects.filter(is_held=True).exists()


def test_agents_are_paused_and_activated(project: Project, agent: Agent, admin_client: Client) -> None:
    url = reverse("admin:orchestration_agent_changelist")
    for action, status in (("pause", AgentStatus.PAUSED), ("activate", AgentStatus.ACTIVE)):
        admin_client.post(url, {"action": action, "_selected_action": [agent.pk]})
        agent.refresh_from_db()
        assert agent.status == status


def test_an_agent_is_listed_with_its_load(project: Project, admin_client: Client) -> None:
    agent = make_agent(project, max_parallel_runs=3)
    finish_run(running(make_task(project, max_attempts=1), agent), ending("failed", code="overloaded"))
    running(make_task(project), agent)
    TaskRun.objects.update(started_at=timezone.now())
    make_task(project, assignee=agent)
    make_task(project, assignee=agent)
    page = admin_client.get(reverse("admin:orchestration_agent_changelist")).content.decode()
    cells = dict(re.findall(r'<td class="field-(\w+)[^>]*>(.*?)</td>', page, re.DOTALL))
    shown = {name: " ".join(re.sub(r"<[^>]*>", " ", cell).split()) for name, cell in cells.items()}
    assert (shown["load"], shown["waiting"], shown["cost"]) == ("1 of 3", "2", "$0.01")
    assert shown["last_failure"].startswith("overloaded")
    # Elsewhere the scheduler may be on another host, whose clients nobody here knows.
    assert shown["client"] == ("ready" if connection.vendor == "sqlite" else "noop")


@pytest.mark.skipif(connection.vendor != "sqlite", reason="only on SQLite does the scheduler share this host")
def test_a_client_that_is_not_here_is_said(project: Project, agent: Agent, admin_client: Client) -> None:
    Agent.objects.update(provider="claude_code")
    page = admin_client.get(reverse("admin:orchestration_agent_changelist")).content.decode()
    assert "claude_code: not here" in page


@pytest.mark.parametrize("model", ["task", "agent", "project"])
def test_what_is_in_use_is_not_deleted_and_the_page_says_why(
    model: str, project: Project, agent: Agent, admin_client: Client
) -> None:
    run = running(make_task(project), agent)
    row = {"task": run.task, "agent": agent, "project": project}[model]
    url = reverse(f"admin:orchestration_{model}_delete", args=[row.pk])
    page = admin_client.post(url, {"post": "yes"}, follow=True)
    assert [str(message).split()[:2] for message in page.context["messages"]] == [[model.capitalize(), str(row.pk)]]
    assert type(row)._default_manager.filter(pk=row.pk).exists()


def test_what_nothing_needs_is_deleted_after_a_question(project: Project, admin_client: Client) -> None:
    task = make_task(project)
    url = reverse("admin:orchestration_task_delete", args=[task.pk])
    assert "Are you sure" in admin_client.get(url).content.decode()
    assert Task.objects.exists()
    assert admin_client.post(url, {"post": "yes"}).status_code == 302
    assert not Task.objects.exists()
    assert Event.objects.filter(type=EventType.TASK_DELETED, actor="user:admin").exists()


def command(task: Task, name: str) -> str:
    return reverse(f"admin:orchestration_task_{name}_one", args=[task.pk])


def test_following_a_link_commands_nothing(project: Project, admin_client: Client) -> None:
    task = make_task(project)
    assert admin_client.get(command(task, "cancel")).status_code == 200
    assert Task.objects.get().status == TaskStatus.TODO


def test_a_confirmed_command_returns_to_the_task(project: Project, admin_client: Client) -> None:
    task = make_task(project)
    response = admin_client.post(command(task, "cancel"), CONFIRMED, headers={"HX-Request": "true"})
    assert response.headers["HX-Redirect"] == reverse("admin:orchestration_task_change", args=[task.pk])
    assert Task.objects.get().status == TaskStatus.CANCELLED


def test_changes_are_requested_with_words(project: Project, agent: Agent, admin_client: Client) -> None:
    finish_run(running(make_task(project), agent), ending("finished"))
    task = Task.objects.get()
    admin_client.post(command(task, "request_changes"), CONFIRMED)
    assert Task.objects.get().status == TaskStatus.REVIEW
    admin_client.post(command(task, "request_changes"), {**CONFIRMED, "words": "Smaller, please."})
    assert Task.objects.get().status == TaskStatus.TODO
    assert Comment.objects.get().body == "Smaller, please."


def test_a_command_to_a_task_that_is_not_there_finds_nothing(admin_client: Client) -> None:
    url = reverse("admin:orchestration_task_cancel_one", args=["nonsense"])
    assert admin_client.post(url, CONFIRMED).status_code == 404


@pytest.mark.breaks_invariants
@pytest.mark.parametrize(
    ("status", "offered"),
    [
        (TaskStatus.TODO, ["Run", "Pause", "Cancel"]),
        (TaskStatus.REVIEW, ["Request changes", "Approve", "Cancel"]),
        (TaskStatus.BLOCKED, ["Run", "Resume", "Retry", "Cancel"]),
        (TaskStatus.DONE, []),
    ],
)
def test_a_task_offers_what_makes_sense(
    status: TaskStatus, offered: list[str], project: Project, admin_client: Client
) -> None:
    task = set_status(make_task(project), status)
    page = admin_client.get(reverse("admin:orchestration_task_change", args=[task.pk]))
    assert [action["title"] for action in page.context["actions_detail"]] == offered


def test_a_cancelled_run_is_asked_to_stop(project: Project, agent: Agent, admin_client: Client) -> None:
    run = running(make_task(project), agent)
    url = reverse("admin:runtime_taskrun_changelist")
    admin_client.post(url, {"action": "cancel", "_selected_action": [run.pk]})
    assert Task.objects.get().cancel_requested_at is not None


def test_an_ended_run_refuses_to_be_cancelled(project: Project, agent: Agent, admin_client: Client) -> None:
    finish_run(running(make_task(project), agent), ending("finished"))
    run = TaskRun.objects.get()
    response = admin_client.post(reverse("admin:runtime_taskrun_cancel_one", args=[run.pk]), CONFIRMED)
    (message,) = get_messages(response.wsgi_request)
    assert "has ended" in str(message)
    assert TaskRun.objects.get().status == RunStatus.SUCCEEDED


def run_page(client: Client, run: TaskRun) -> str:
    return client.get(reverse("admin:runtime_taskrun_change", args=[run.pk])).content.decode()


def test_an_ended_run_offers_nothing(project: Project, agent: Agent, admin_client: Client) -> None:
    finish_run(running(make_task(project), agent), ending("finished"))
    page = admin_client.get(reverse("admin:runtime_taskrun_change", args=[TaskRun.objects.get().pk]))
    assert page.context["actions_detail"] == []


def test_the_task_page_says_why_it_does_not_run(project: Project, admin_client: Client) -> None:
    task = make_task(project)
    page = admin_client.get(reverse("admin:orchestration_task_change", args=[task.pk])).content.decode()
    assert "Its project has no agent." in page


def test_the_task_page_leads_to_its_runs(project: Project, agent: Agent, admin_client: Client) -> None:
    run = running(make_task(project), agent)
    page = admin_client.get(reverse("admin:orchestration_task_change", args=[run.task_id])).content.decode()
    assert reverse("admin:runtime_taskrun_change", args=[run.pk]) in page


def test_the_page_of_a_review_shows_what_was_changed(
    tmp_path: Path, project: Project, agent: Agent, admin_client: Client
) -> None:
    item = reviewed(tmp_path / "repo", make_task(project), agent, "<script>alert(1)</script>\n")
    page = admin_client.get(reverse("admin:inbox_inboxitem_change", args=[item.pk])).content.decode()
    assert "+&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert reverse("admin:runtime_taskrun_change", args=[item.run_id]) in page


def test_the_page_of_a_review_says_when_the_changes_are_gone(
    tmp_path: Path, project: Project, agent: Agent, admin_client: Client
) -> None:
    item = reviewed(tmp_path / "repo", make_task(project), agent, "text\n")
    shutil.rmtree(tmp_path / "repo")
    page = admin_client.get(reverse("admin:inbox_inboxitem_change", args=[item.pk]))
    assert page.status_code == 200
    assert "git could not be started" in page.content.decode() or "git rev-parse failed" in page.content.decode()


def test_a_removed_line_that_looks_like_a_header_is_a_removed_line() -> None:
    text = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n--- old\n+new"
    assert [kind for kind, _ in lines_of(text)] == ["file", "file", "file", "hunk", "removed", "added"]


def reviewed(repo: Path, task: Task, agent: Agent, text: str) -> InboxItem:
    """Return the open review of a run that has added a file."""
    run = running(task, agent)
    base = git(repo, "rev-parse", "HEAD")
    git(repo, "checkout", "-q", "-b", "bbb/work")
    (repo / "added.html").write_text(text)
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "Work")
    head = git(repo, "rev-parse", "HEAD")
    TaskRun.objects.filter(pk=run.pk).update(base_commit=base, branch="bbb/work")
    finish_run(run, ending("finished"), head_commit=head)
    return InboxItem.objects.get(task=task)
