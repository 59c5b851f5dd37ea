from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from events.services import unit_of_work
from inbox import services as inbox
from inbox.models import InboxItem
from inbox.states import ItemType
from orchestration.git import run_git
from orchestration.models import Agent, Project, Task
from orchestration.services.projects import update_project
from orchestration.services.tasks import finish_tasks
from orchestration.states import CommentStatus, TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_project, make_task
from runtime import landing, merge, supervision, workspace
from runtime.models import TaskRun
from runtime.services import commands
from runtime.services.finishing import finish_run
from runtime.supervision import Watch
from runtime.tests.factories import ending
from runtime.tests.repositories import commit, commit_of, everything, make_repository, status
from runtime.tests.starts import begun, make_directory, make_worktree

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repo")


@pytest.fixture
def project(repo: Path) -> Project:
    return make_project(repo)


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, name="Ada", max_parallel_runs=4)


@pytest.fixture
def task(project: Project) -> Task:
    return make_task(project, title="Paint it")


def reviewed(task: Task, agent: Agent, tmp_path: Path, files: dict[str, str]) -> TaskRun:
    """Have an agent do the task, up to where its work waits for a review."""
    run = begun(task, agent)
    worktree = make_worktree(run)
    for name, text in files.items():
        (worktree.path / name).write_text(text)
    supervision.conclude(Watch(run=run, directory=make_directory(run, tmp_path)), ending("finished", message="Blue."))
    return run


def approve(run: TaskRun) -> None:
    inbox.approve_task(Task.objects.get(pk=run.task_id), actor=ACTOR)


@pytest.fixture
def approved(task: Task, agent: Agent, tmp_path: Path) -> TaskRun:
    """Return the run of a task whose work adds a file and is approved."""
    run = reviewed(task, agent, tmp_path, {"new": "x\n"})
    approve(run)
    return run


def land() -> int:
    return landing.land_approved(actor="scheduler:one")


def landed(run: TaskRun) -> tuple[str, str]:
    """Return the status of the task, and which commit has brought its work to the base branch."""
    found = TaskRun.objects.select_related("task").get(pk=run.pk)
    return found.task.status, found.merge_commit


def alerts() -> list[InboxItem]:
    return list(InboxItem.objects.open().filter(item_type=ItemType.ALERT))


def test_approved_work_becomes_the_head_of_the_base_branch(repo: Path, approved: TaskRun) -> None:
    assert land() == 1
    assert landed(approved) == (TaskStatus.DONE, commit_of(repo, "main"))
    assert commit_of(repo, "main") == TaskRun.objects.get().head_commit
    assert not InboxItem.objects.open().exists()


def test_landing_makes_a_new_version_of_the_run(approved: TaskRun) -> None:
    before = TaskRun.objects.get(pk=approved.pk).version
    assert land() == 1
    assert TaskRun.objects.get(pk=approved.pk).version == before + 1


def test_a_base_that_has_moved_on_is_merged_with(repo: Path, approved: TaskRun) -> None:
    base = commit(repo, {"other": "y\n"})
    assert land() == 1
    assert landed(approved) == (TaskStatus.DONE, commit_of(repo, "main"))
    said = run_git(repo, "log", "-1", "--format=%P|%an|%B", "main").strip()
    head = TaskRun.objects.get().head_commit
    assert said == f"{base} {head}|Ada|Paint it\n\nBlue.\n\nTask: {approved.task.key}, attempt 1"


def test_work_that_nobody_has_approved_stays_where_it_is(repo: Path, task: Task, agent: Agent, tmp_path: Path) -> None:
    reviewed(task, agent, tmp_path, {"new": "x\n"})
    before = commit_of(repo, "main")
    assert land() == 0
    assert commit_of(repo, "main") == before


def test_work_that_was_cancelled_after_its_approval_does_not_land(repo: Path, approved: TaskRun) -> None:
    before = commit_of(repo, "main")
    commands.cancel_task(Task.objects.get(), actor=ACTOR)
    assert land() == 0
    assert commit_of(repo, "main") == before


def test_merged_work_does_not_end_a_task_that_was_approved_anew_meanwhile(
    approved: TaskRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge_now = merge.land

    def merge_and_approve_anew(*given: Any, **named: Any) -> merge.Landed:
        Task.objects.update(approved_at=timezone.now())
        return merge_now(*given, **named)

    monkeypatch.setattr(merge, "land", merge_and_approve_anew)
    assert land() == 0
    assert landed(approved) == (TaskStatus.REVIEW, "")


def test_what_waits_for_it_may_start_once_it_has_landed(project: Project, approved: TaskRun) -> None:
    child = make_task(project, depends_on=[Task.objects.get()])
    land()
    child.refresh_from_db()
    assert child.unmet_dependencies == 0


def test_worktree_and_branch_are_gone_afterwards(repo: Path, approved: TaskRun) -> None:
    workspace = Path(TaskRun.objects.get().workspace)
    assert workspace.is_dir()
    land()
    assert not workspace.exists()
    assert run_git(repo, "branch", "--format=%(refname:short)") == "main\n"
    assert len(run_git(repo, "worktree", "list").splitlines()) == 1


def test_a_worktree_that_cannot_be_removed_keeps_no_work_from_landing(repo: Path, approved: TaskRun) -> None:
    folder = TaskRun.objects.get().workspace
    run_git(repo, "worktree", "lock", folder)
    assert land() == 1
    assert landed(approved)[0] == TaskStatus.DONE
    assert Path(folder).is_dir()


def test_a_disk_that_is_full_when_the_worktree_is_removed_keeps_no_work_from_landing(
    approved: TaskRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any, **named: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(workspace, "remove_worktree", fail)
    assert land() == 1
    assert landed(approved)[0] == TaskStatus.DONE


# Conflicts


@pytest.fixture
def conflicting(repo: Path, task: Task, agent: Agent, tmp_path: Path) -> TaskRun:
    run = reviewed(task, agent, tmp_path, {"README": "one\nmine\nthree\n"})
    approve(run)
    commit(repo, {"README": "one\nyours\nthree\n"})
    return run


def test_a_conflict_goes_back_to_the_agent_with_the_files(repo: Path, conflicting: TaskRun) -> None:
    assert land() == 1
    task = Task.objects.get()
    assert (task.status, task.approved_at) == (TaskStatus.TODO, None)
    comment = task.comments.get()
    assert (comment.status, comment.run_id) == (CommentStatus.OPEN, conflicting.pk)
    assert "README" in comment.body and "git merge main" in comment.body


def test_a_conflict_leaves_the_repository_as_it_was(repo: Path, conflicting: TaskRun) -> None:
    before = everything(repo)
    land()
    assert everything(repo) == before


def test_the_resolved_conflict_lands(repo: Path, conflicting: TaskRun, agent: Agent, tmp_path: Path) -> None:
    land()
    again = begun(Task.objects.get(), agent)
    assert (again.attempt, again.workspace) == (2, TaskRun.objects.get(attempt=1).workspace)
    run_git(Path(again.workspace), "merge", "-q", "-X", "ours", "--no-edit", "main")
    supervision.conclude(Watch(run=again, directory=make_directory(again, tmp_path)), ending("finished"))
    approve(again)
    assert land() == 1
    assert landed(again)[0] == TaskStatus.DONE
    assert (repo / "README").read_text() == "one\nmine\nthree\n"


# A person's checkout


def test_a_clean_checkout_follows(repo: Path, approved: TaskRun) -> None:
    land()
    assert (repo / "new").read_text() == "x\n"
    assert (status(repo), run_git(repo, "branch", "--show-current")) == ("", "main\n")


def test_a_dirty_checkout_is_left_as_it_is_and_its_owner_is_told_how_to_go_on(repo: Path, approved: TaskRun) -> None:
    (repo / "README").write_text("the person's\n")
    before = everything(repo)
    assert land() == 1
    after = everything(repo)
    assert (after["files"], after["status"]) == (before["files"], before["status"])
    assert landed(approved)[0] == TaskStatus.DONE
    [alert] = alerts()
    assert str(repo) in alert.content and "git checkout main" in alert.content


# Safe to repeat


def test_work_that_landed_before_a_crash_is_found_landed(repo: Path, home: Path, approved: TaskRun) -> None:
    commit(repo, {"other": "y\n"})
    run = TaskRun.objects.get()
    # What a scheduler does just before it dies.
    done = merge.land(
        repo, branch=run.branch, base_branch="main", landing_root=home / "landing", message="Paint it",
        head_commit=run.head_commit,
    )  # fmt: skip
    assert land() == 1
    assert landed(approved) == (TaskStatus.DONE, done.commit)
    assert commit_of(repo, "main") == done.commit
    assert land() == 0


def test_all_that_is_approved_lands(repo: Path, project: Project, agent: Agent, tmp_path: Path) -> None:
    runs = [reviewed(make_task(project), agent, tmp_path, {f"file-{number}": "x\n"}) for number in range(3)]
    for run in runs:
        approve(run)
    assert land() == 3
    assert {landed(run)[0] for run in runs} == {TaskStatus.DONE}
    assert sorted(path.name for path in repo.glob("file-*")) == ["file-0", "file-1", "file-2"]


# What no agent can mend


def is_blocked_with(word: str) -> bool:
    task = Task.objects.get()
    return task.status == TaskStatus.BLOCKED and [word in alert.content for alert in alerts()] == [True]


def test_a_branch_that_moved_after_the_approval_blocks_the_task(repo: Path, approved: TaskRun) -> None:
    before = commit_of(repo, "main")
    commit(Path(TaskRun.objects.get().workspace), {"sneaked": "in\n"})
    assert land() == 1
    assert is_blocked_with("was approved")
    assert commit_of(repo, "main") == before


def test_a_base_branch_that_is_gone_blocks_the_task(repo: Path, project: Project, approved: TaskRun) -> None:
    run_git(repo, "branch", "-q", "-m", "main", "trunk")
    assert land() == 1
    assert is_blocked_with("no branch 'main'")
    assert land() == 0


def test_a_repository_that_is_gone_blocks_the_task(repo: Path, approved: TaskRun) -> None:
    shutil.rmtree(repo)
    assert land() == 1
    assert is_blocked_with(approved.branch)


def test_an_error_of_ours_blocks_its_task_and_keeps_no_other_from_landing(
    project: Project, agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = (reviewed(make_task(project), agent, tmp_path, {name: "x\n"}) for name in ("bad", "good"))
    approve(bad)
    approve(good)
    merge_it = merge.land

    def fail(*given: Any, **named: Any) -> merge.Landed:
        if named["branch"] == bad.branch:
            raise RuntimeError("A mistake.")
        return merge_it(*given, **named)

    monkeypatch.setattr(merge, "land", fail)
    assert land() == 2
    assert [landed(run)[0] for run in (bad, good)] == [TaskStatus.BLOCKED, TaskStatus.DONE]
    [alert] = alerts()
    assert "A mistake." in alert.content


def test_once_mended_a_retry_lands_the_work(
    repo: Path, project: Project, agent: Agent, approved: TaskRun, tmp_path: Path
) -> None:
    run_git(repo, "branch", "-q", "-m", "main", "trunk")
    land()
    update_project(project, actor=ACTOR, base_branch="trunk")
    commands.retry_task(Task.objects.get(), actor=ACTOR)
    again = begun(Task.objects.get(), agent)
    supervision.conclude(Watch(run=again, directory=make_directory(again, tmp_path)), ending("finished"))
    approve(again)
    assert land() == 1
    assert landed(again)[0] == TaskStatus.DONE
    assert (repo / "new").exists()
    assert not alerts()


def test_work_that_changed_nothing_is_done_without_git(project: Project, agent: Agent, tmp_path: Path) -> None:
    update_project(project, actor=ACTOR, auto_approve=True)
    parents = [make_task(project), make_task(project)]
    child = make_task(project, depends_on=parents)
    for parent in parents:
        finish_run(begun(parent, agent), ending("finished"))
    Path(project.root_path).rename(tmp_path / "elsewhere")
    assert landing.land_approved(actor=ACTOR) == 2
    assert {task.status for task in Task.objects.filter(pk__in=[parent.pk for parent in parents])} == {TaskStatus.DONE}
    child.refresh_from_db()
    assert child.unmet_dependencies == 0


@pytest.mark.breaks_invariants
def test_an_approval_that_was_taken_back_lands_nothing_and_keeps_no_other(project: Project, agent: Agent) -> None:
    update_project(project, actor=ACTOR, auto_approve=True)
    kept, taken = make_task(project), make_task(project)
    for task in (kept, taken):
        finish_run(begun(task, agent), ending("finished"))
    read = list(Task.objects.filter(approved_at__isnull=False).order_by("id"))
    Task.objects.filter(pk=taken.pk).update(approved_at=None)
    with unit_of_work():
        done = finish_tasks(read, actor=ACTOR, reason="merged", traces={})
    taken.refresh_from_db()
    assert (done, taken.status) == ({kept.pk}, TaskStatus.REVIEW)
