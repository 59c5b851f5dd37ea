from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orchestration import git
from orchestration.git import GitError, run_git
from runtime import merge
from runtime.merge import BranchMoved, Landed, MergeConflict
from runtime.tests.repositories import commit, commit_of, everything, make_repository, show, status

BRANCH = "bbb/task-7"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """Return a repository whose `main` a person has checked out."""
    return make_repository(tmp_path / "project")


@pytest.fixture
def work(repo: Path, tmp_path: Path) -> Path:
    """Return a worktree in which the work is done."""
    return add_work(repo, tmp_path / "work")


def add_work(repo: Path, path: Path, branch: str = BRANCH) -> Path:
    run_git(repo, "worktree", "add", "-q", "-b", branch, str(path), "main")
    return path


def land(repo: Path, branch: str = BRANCH, **given: Any) -> Landed:
    wanted: dict[str, Any] = {
        "branch": branch,
        "base_branch": "main",
        "landing_root": repo.parent / "landing",
        "message": "Paint it\n\nBlue.",
        "author_name": "Ada",
    }
    return merge.land(repo, **{**wanted, **given})


def parents(repo: Path, revision: str) -> list[str]:
    return run_git(repo, "rev-list", "--parents", "-1", revision).split()[1:]


def without_head(repo: Path) -> dict[str, object]:
    """Return what a checkout that is left must keep: every file, what is staged, and what `git status` lists."""
    kept = everything(repo)
    return {name: kept[name] for name in ("files", "status")} | {"index": run_git(repo, "ls-files", "--stage")}


# How work lands


def test_work_on_the_head_of_the_base_is_fast_forwarded(repo: Path, work: Path) -> None:
    head = commit(work, {"new": "x\n"})
    assert land(repo) == Landed(head, is_fast_forward=True, checkout="updated")
    assert commit_of(repo, "main") == head


def test_work_beside_the_base_is_merged_by_a_commit_with_both_parents(repo: Path, work: Path) -> None:
    head, base = commit(work, {"new": "x\n"}), commit(repo, {"other": "y\n"})
    landed = land(repo)
    assert not landed.is_fast_forward
    assert parents(repo, "main") == [base, head]
    assert commit_of(repo, "main") == landed.commit
    assert (show(repo, "main", "new"), show(repo, "main", "other")) == ("x\n", "y\n")


def test_the_merge_commit_is_the_agents_and_says_what_was_done(repo: Path, work: Path) -> None:
    commit(work, {"new": "x\n"})
    commit(repo, {"other": "y\n"})
    land(repo, message="Paint it\n\nBl\0ue.")
    said = run_git(repo, "log", "-1", "--format=%an|%cn|%B", "main").strip()
    assert said == f"Ada|{git.NAME}|Paint it\n\nBlue."


def test_landing_again_finds_what_was_landed(repo: Path, work: Path) -> None:
    commit(work, {"new": "x\n"})
    commit(repo, {"other": "y\n"})
    first = land(repo)
    commit(repo, {"later": "z\n"})
    before = everything(repo)
    assert land(repo) == first
    assert everything(repo) == before


def test_a_fast_forward_that_was_landed_is_found_too(repo: Path, work: Path) -> None:
    commit(work, {"new": "x\n"})
    first = land(repo)
    commit(repo, {"later": "z\n"})
    assert land(repo) == first


def test_work_whose_branch_is_gone_is_found_by_what_was_approved(repo: Path, work: Path) -> None:
    head = commit(work, {"new": "x\n"})
    land(repo)
    run_git(repo, "worktree", "remove", str(work))
    run_git(repo, "branch", "-D", BRANCH)
    assert land(repo, head_commit=head).commit == head


def test_nothing_is_left_of_a_landing(repo: Path, work: Path, tmp_path: Path) -> None:
    commit(work, {"new": "x\n"})
    commit(repo, {"other": "y\n"})
    land(repo)
    assert list((tmp_path / "landing").iterdir()) == []
    assert status(repo) == status(work) == ""


# What is refused


def test_a_conflict_names_its_files_and_changes_nothing(repo: Path, work: Path) -> None:
    commit(work, {"README": "one\nmine\nthree\n", "grün": "mine\n"})
    commit(repo, {"README": "one\nyours\nthree\n", "grün": "yours\n"})
    before = everything(repo)
    with pytest.raises(MergeConflict) as conflict:
        land(repo)
    assert sorted(conflict.value.files) == ["README", "grün"]
    assert "Merge conflict in README" in conflict.value.text
    assert everything(repo) == before


def test_a_file_that_one_side_deleted_conflicts(repo: Path, work: Path) -> None:
    commit(work, {"README": None})
    commit(repo, {"README": "one\nyours\nthree\n"})
    with pytest.raises(MergeConflict, match="README") as conflict:
        land(repo)
    assert "deleted in" in conflict.value.text


def test_how_a_person_likes_to_merge_does_not_count(repo: Path, work: Path) -> None:
    commit(work, {"README": "one\nmine\nthree\n"})
    commit(repo, {"README": "one\nyours\nthree\n"})
    (repo / ".gitattributes").write_text("README merge=union\n")
    with pytest.raises(MergeConflict):
        land(repo)


def test_a_branch_that_moved_after_the_approval_does_not_land(repo: Path, work: Path) -> None:
    approved = commit(work, {"new": "x\n"})
    commit(work, {"sneaked": "in\n"})
    before = everything(repo)
    with pytest.raises(BranchMoved):
        land(repo, head_commit=approved)
    assert everything(repo) == before


def test_a_branch_that_is_missing_does_not_land(repo: Path, work: Path) -> None:
    elsewhere = commit(work, {"new": "x\n"})
    with pytest.raises(GitError, match="no branch 'bbb/nothing'"):
        land(repo, "bbb/nothing")
    with pytest.raises(GitError, match="no branch 'bbb/nothing'"):
        land(repo, "bbb/nothing", head_commit=elsewhere)
    with pytest.raises(GitError, match="no branch 'release'"):
        land(repo, base_branch="release")


@pytest.mark.parametrize("name", ["-f", "a..b", "HEAD"])
def test_a_name_that_is_no_branch_is_refused(repo: Path, name: str) -> None:
    with pytest.raises(GitError, match="no valid branch name"):
        land(repo, name)
    with pytest.raises(GitError, match="no valid branch name"):
        land(repo, base_branch=name)


# A person's checkout


def test_a_clean_checkout_follows(repo: Path, work: Path) -> None:
    commit(work, {"new": "x\n", "README": "changed\n"})
    (repo / "notes").write_text("untracked, and in nobody's way\n")
    landed = land(repo)
    assert (landed.checkout, landed.note) == ("updated", "")
    assert (repo / "README").read_text() == "changed\n"
    assert run_git(repo, "branch", "--show-current") == "main\n"
    assert status(repo) == "?? notes\n"


def test_a_checkout_of_another_branch_is_none_of_ours(repo: Path, work: Path) -> None:
    head = commit(work, {"new": "x\n"})
    run_git(repo, "checkout", "-q", "-b", "mine")
    (repo / "README").write_text("changed\n")
    landed = land(repo)
    assert (landed.checkout, landed.note, commit_of(repo, "main")) == ("none", "", head)
    assert (status(repo), run_git(repo, "branch", "--show-current")) == (" M README\n", "mine\n")


@pytest.mark.parametrize("is_staged", [False, True])
def test_a_dirty_checkout_keeps_every_file_and_what_git_status_lists(repo: Path, work: Path, is_staged: bool) -> None:
    head = commit(work, {"new": "x\n", "README": "the work's\n"})
    (repo / "README").write_text("the person's\n")
    if is_staged:
        run_git(repo, "add", "README")
    before, old = without_head(repo), commit_of(repo)
    landed = land(repo)
    assert (landed.checkout, commit_of(repo, "main")) == ("left", head)
    assert without_head(repo) == before
    # On no branch: a commit there, even of all files, reverts nothing of what landed.
    assert (commit_of(repo), run_git(repo, "branch", "--show-current")) == (old, "")
    assert str(repo) in landed.note and "`git checkout main`" in landed.note


def test_what_the_note_says_takes_the_person_back_to_the_base(repo: Path, work: Path) -> None:
    commit(work, {"new": "x\n"})
    (repo / "README").write_text("the person's\n")
    land(repo)
    run_git(repo, "stash", "-q")
    run_git(repo, "checkout", "-q", "main")
    run_git(repo, "stash", "pop", "-q")
    assert (repo / "new").exists()
    assert (repo / "README").read_text() == "the person's\n"


@pytest.mark.parametrize("is_ignored", [False, True])
def test_a_file_in_the_way_is_not_overwritten(repo: Path, work: Path, is_ignored: bool) -> None:
    head = commit(work, {"new": "the work's\n"})
    (repo / "new").write_text("the person's\n")
    if is_ignored:
        (repo / ".git/info/exclude").write_text("new\n")
    landed = land(repo)
    assert (landed.checkout, commit_of(repo, "main")) == ("left", head)
    assert (repo / "new").read_text() == "the person's\n"


def test_work_goes_on_landing_while_a_checkout_is_left(repo: Path, work: Path) -> None:
    commit(work, {"new": "x\n"})
    (repo / "README").write_text("the person's\n")
    land(repo)
    head = commit(work, {"more": "x\n"})
    landed = land(repo)
    assert (landed.checkout, landed.note, commit_of(repo, "main")) == ("none", "", head)


def test_a_fast_forward_killed_half_way_is_finished(repo: Path, work: Path) -> None:
    head = commit(work, {"new": "x\n", "README": "changed\n"})
    # As git leaves it between writing the files and moving the branch.
    run_git(repo, "read-tree", "-u", "-m", "HEAD", head)
    assert status(repo) != ""
    assert land(repo).checkout == "updated"
    assert (commit_of(repo), status(repo)) == (head, "")


# Others at the same time


def test_landings_of_a_repository_see_each_other(repo: Path, tmp_path: Path) -> None:
    names = [f"bbb/task-{number}" for number in range(4)]
    for number, name in enumerate(names):
        commit(add_work(repo, tmp_path / f"work-{number}", name), {f"file-{number}": "x\n"})
    with ThreadPoolExecutor(4) as pool:
        landed = list(pool.map(lambda name: land(repo, name), names))
    assert len({one.commit for one in landed}) == 4
    assert sorted(run_git(repo, "ls-tree", "--name-only", "main").split()) == [
        "README", "file-0", "file-1", "file-2", "file-3",
    ]  # fmt: skip
    assert status(repo) == ""


def test_a_commit_made_to_the_base_meanwhile_is_never_overwritten(
    repo: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_git(repo, "checkout", "-q", "--detach")
    head = commit(work, {"new": "x\n"})
    swap, theirs = merge._swap, list[str]()

    def overtaken(*args: Any) -> None:
        if not theirs:  # somebody pushes in the moment between our reading and our writing
            theirs.append(commit(repo, {"theirs": "y\n"}))
            run_git(repo, "branch", "-f", "main", theirs[0])
        swap(*args)

    monkeypatch.setattr(merge, "_swap", overtaken)
    landed = land(repo)
    assert parents(repo, "main") == [theirs[0], head]
    assert commit_of(repo, "main") == landed.commit


def test_a_base_that_never_rests_is_given_up(repo: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_git(repo, "checkout", "-q", "--detach")
    commit(work, {"new": "x\n"})
    swap = merge._swap

    def overtaken(*args: Any) -> None:
        run_git(repo, "branch", "-f", "main", commit(repo, {"theirs": f"{os.urandom(8).hex()}\n"}))
        swap(*args)

    monkeypatch.setattr(merge, "_swap", overtaken)
    with pytest.raises(GitError, match="Try again"):
        land(repo)
    assert commit_of(repo, "main") == commit_of(repo)


def test_a_dirty_checkout_is_back_on_its_branch_when_the_landing_fails(
    repo: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(work, {"new": "x\n"})
    (repo / "README").write_text("the person's\n")
    before = everything(repo)

    def broken(*_: Any) -> None:
        raise GitError("The disk is full.")

    monkeypatch.setattr(merge, "_swap", broken)
    with pytest.raises(GitError, match="disk"):
        land(repo)
    assert everything(repo) == before
