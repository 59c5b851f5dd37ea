from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from orchestration.git import GitError, run_git
from runtime import workspace
from runtime.processes import descendants, send_signal
from runtime.tests.repositories import commit, commit_of, everything, make_repository, show, start_python, status
from runtime.workspace import Removal, Worktree
from security.exceptions import PathNotAllowed

RESCUE = "refs/beebeebrain/rescue/7"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "project")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "worktrees"


@pytest.fixture
def tree(repo: Path, root: Path) -> Worktree:
    return add(repo, root)


def add(repo: Path, root: Path, name: str = "7", branch: str = "bbb/task-7") -> Worktree:
    return workspace.add_worktree(repo, path=root / name, branch=branch, base_branch="main", root=root)


def commit_all(tree: Worktree, message: str = "Work") -> str:
    return workspace.commit_all(tree, message=message, author_name="Ada")


def remove(tree: Worktree, rescue_ref: str | None = RESCUE, *, delete_branch: bool = False) -> Removal:
    return workspace.remove_worktree(
        tree.repo, tree.path, root=tree.path.parent, rescue_ref=rescue_ref, delete_branch=delete_branch
    )


# Making one


def test_new_worktree_starts_at_the_head_of_the_base_branch(repo: Path, tree: Worktree) -> None:
    assert tree.base_commit == commit_of(repo, "main") == workspace.head_commit(tree)
    assert (tree.path / "README").read_text() == "one\ntwo\nthree\n"
    assert run_git(tree.path, "branch", "--show-current") == "bbb/task-7\n"
    assert status(repo) == ""


def test_adding_twice_keeps_what_is_in_the_worktree(repo: Path, root: Path, tree: Worktree) -> None:
    (tree.path / "draft").write_text("half done")
    commit(repo, {"other": "new on main\n"})
    assert add(repo, root) == tree
    assert (tree.path / "draft").read_text() == "half done"


def test_base_commit_follows_when_the_base_branch_was_merged_into_the_work(
    repo: Path, root: Path, tree: Worktree
) -> None:
    commit(tree.path, {"mine": "x\n"})
    newer = commit(repo, {"other": "new on main\n"})
    run_git(tree.path, "merge", "-q", "--no-edit", "main")
    assert add(repo, root).base_commit == newer


def test_branch_of_a_deleted_folder_is_picked_up_with_its_commits(repo: Path, root: Path, tree: Worktree) -> None:
    commit(tree.path, {"mine": "x\n"})
    shutil.rmtree(tree.path)
    again = add(repo, root)
    assert (again.path / "mine").read_text() == "x\n"
    assert again.base_commit == tree.base_commit


def test_branch_of_a_deleted_folder_is_picked_up_at_another_place(repo: Path, root: Path, tree: Worktree) -> None:
    commit(tree.path, {"mine": "x\n"})
    shutil.rmtree(tree.path)
    assert (add(repo, root, name="8").path / "mine").exists()


def test_branch_without_a_worktree_is_picked_up(repo: Path, root: Path) -> None:
    run_git(repo, "branch", "bbb/task-7")
    base = commit_of(repo, "main")
    commit(repo, {"other": "new on main\n"})
    assert add(repo, root).base_commit == base


def test_worktree_that_somebody_removes_while_others_are_looked_for_is_no_error(
    repo: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_git(repo, "worktree", "add", "--quiet", "--detach", str(tmp_path / "a person's"))
    read, gone = Path.read_bytes, "a person's"

    def read_unless_gone(path: Path) -> bytes:
        found = read(path)
        if path.name == "gitdir" and gone in found.decode():
            raise FileNotFoundError(path)
        return found

    monkeypatch.setattr(Path, "read_bytes", read_unless_gone)
    assert add(repo, root).path.is_dir()


def test_missing_worktree_of_a_person_stays_registered(repo: Path, root: Path, tmp_path: Path) -> None:
    run_git(repo, "worktree", "add", "-q", str(tmp_path / "usb"), "-b", "person")
    (tmp_path / "usb").rename(tmp_path / "unplugged")
    tree = add(repo, root)
    shutil.rmtree(tree.path)
    add(repo, root)
    (tmp_path / "unplugged").rename(tmp_path / "usb")
    assert status(tmp_path / "usb") == ""


def test_branch_in_use_elsewhere_is_refused(repo: Path, root: Path, tree: Worktree) -> None:
    with pytest.raises(GitError, match=r"already checked out|already used"):
        add(repo, root, name="8")
    assert not (root / "8").exists()


def test_worktree_of_another_branch_is_refused(repo: Path, root: Path, tree: Worktree) -> None:
    with pytest.raises(GitError, match=r"worktree of 'bbb/task-7', not of 'bbb/task-8'"):
        add(repo, root, branch="bbb/task-8")


def test_folder_that_is_no_worktree_is_refused_and_kept(repo: Path, root: Path) -> None:
    (root / "7").mkdir(parents=True)
    (root / "7/precious").write_text("x")
    with pytest.raises(GitError, match="Move it away"):
        add(repo, root)
    assert (root / "7/precious").exists()


@pytest.mark.parametrize("branch", ["main", "-b", "a..b", "HEAD"])
def test_branch_that_cannot_be_a_work_branch_is_refused(repo: Path, root: Path, branch: str) -> None:
    before = everything(repo)
    with pytest.raises(GitError):
        add(repo, root, branch=branch)
    assert everything(repo) == before


@pytest.mark.parametrize(
    "branch", ["grün/工蜂", "a'b", "a;touch-x", "$(touch)", "bbb/very/deep/name", "refs/heads/x", "@a"]
)
def test_odd_branch_names_work_from_start_to_end(repo: Path, root: Path, branch: str) -> None:
    tree = add(repo, root, branch=branch)
    (tree.path / "new").write_text("x\n")
    assert commit_all(tree) == commit_of(repo, f"refs/heads/{branch}")
    assert [file.path for file in workspace.diff(repo, base="main", head=f"refs/heads/{branch}").files] == ["new"]
    assert remove(tree) == Removal(None, False)


def test_tag_of_the_same_name_does_not_mislead(repo: Path, root: Path) -> None:
    run_git(repo, "tag", "bbb/task-7")
    tree = add(repo, root)
    (tree.path / "new").write_text("x\n")
    assert commit_all(tree) == commit_of(repo, "refs/heads/bbb/task-7")


def test_missing_base_branch_is_refused(repo: Path, root: Path) -> None:
    with pytest.raises(GitError, match="no branch 'develop'"):
        workspace.add_worktree(repo, path=root / "7", branch="bbb/x", base_branch="develop", root=root)


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "link/7"])
def test_path_outside_the_root_is_refused(repo: Path, root: Path, tmp_path: Path, name: str) -> None:
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    before = everything(repo)
    with pytest.raises(PathNotAllowed):
        workspace.add_worktree(repo, path=root / name, branch="bbb/x", base_branch="main", root=root)
    assert everything(repo) == before


def test_hooks_of_the_repository_do_not_run(repo: Path, root: Path, tmp_path: Path) -> None:
    for hook in ("post-checkout", "pre-commit", "commit-msg", "post-commit", "reference-transaction"):
        script = repo / ".git/hooks" / hook
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\nexit 1\n")
        script.chmod(0o755)
    tree = add(repo, root)
    (tree.path / "new").write_text("x\n")
    commit_all(tree)
    remove(tree)
    assert not (tmp_path / "hooked").exists()


def test_worktree_half_made_by_a_killed_process_is_made_anew(repo: Path, root: Path, tmp_path: Path) -> None:
    # A filter that never ends stops git in the middle of the checkout, where it is killed.
    commit(repo, {".gitattributes": "slow filter=slow\n", "slow": "x\n"})
    run_git(repo, "config", "filter.slow.smudge", f"touch {tmp_path}/begun; exec sleep 600")
    code = """
        import os, sys, threading, time
        from pathlib import Path
        from runtime.workspace import add_worktree
        repo, root, begun = map(Path, sys.argv[1:])
        def watch():
            while not begun.exists():
                time.sleep(0.01)
            print("begun", flush=True)
        threading.Thread(target=watch, daemon=True).start()
        add_worktree(repo, path=root / "7", branch="bbb/task-7", base_branch="main", root=root)
    """
    with start_python(code, repo, root, tmp_path / "begun") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        # With the first of them the others may end by themselves.
        send_signal([process.pid, *descendants(process.pid)], signal.SIGKILL)
    assert (root / "7").exists()
    run_git(repo, "config", "--unset", "filter.slow.smudge")
    tree = add(repo, root)
    assert status(tree.path) == ""
    assert (tree.path / "slow").read_text() == "x\n"


# Committing


def test_changed_new_and_deleted_files_are_committed_and_ignored_ones_are_not(repo: Path, root: Path) -> None:
    commit(repo, {".gitignore": "*.log\n", "old": "x\n"})
    tree = add(repo, root)
    (tree.path / "README").write_text("changed\n")
    (tree.path / "deep").mkdir()
    (tree.path / "deep/neu — 新").write_text("new\n")
    (tree.path / "run.log").write_text("noise\n")
    (tree.path / "old").unlink()
    head = commit_all(tree, "Do it\n\n# not a comment")
    assert head == commit_of(repo, "bbb/task-7") != tree.base_commit
    names = run_git(repo, "diff-tree", "-r", "-z", "--name-status", "main", head).split("\0")[:-1]
    assert names == ["M", "README", "A", "deep/neu — 新", "D", "old"]
    assert run_git(repo, "log", "-1", "--format=%an|%ae|%cn|%B", head).strip() == (
        "Ada|beebeebrain@localhost|BeeBeeBrain|Do it\n\n# not a comment"
    )
    assert status(tree.path) == ""


def test_no_empty_commit_is_made(tree: Worktree) -> None:
    assert commit_all(tree) == tree.base_commit
    assert commit_all(tree, message="") == tree.base_commit


def test_commits_of_the_agent_are_kept(tree: Worktree) -> None:
    own = commit(tree.path, {"mine": "x\n"})
    assert commit_all(tree) == own


def test_message_of_any_shape_is_committed(tree: Worktree) -> None:
    for number, message in enumerate(["", "-m", "\0", "ü" * 3, "a\n" * 5000]):
        (tree.path / "new").write_text(f"{number}\n")
        commit_all(tree, message)
    assert run_git(tree.repo, "rev-list", "--count", "main..bbb/task-7") == "5\n"


def test_work_on_a_detached_head_reaches_the_branch(repo: Path, tree: Worktree) -> None:
    run_git(tree.path, "checkout", "-q", "--detach")
    commit(tree.path, {"mine": "x\n"})
    (tree.path / "more").write_text("y\n")
    head = commit_all(tree)
    assert head == commit_of(repo, "bbb/task-7")
    assert show(repo, head, "more") == "y\n"
    assert run_git(tree.path, "branch", "--show-current") == "bbb/task-7\n"


def test_work_on_a_branch_of_the_agents_own_reaches_ours_and_moves_no_other(repo: Path, tree: Worktree) -> None:
    run_git(tree.path, "checkout", "-q", "-b", "agents-own")
    (tree.path / "new").write_text("x\n")
    head = commit_all(tree)
    assert commit_of(repo, "bbb/task-7") == head
    assert commit_of(repo, "agents-own") == tree.base_commit


def test_worktree_left_at_an_older_commit_answers_with_the_branch(repo: Path, tree: Worktree) -> None:
    head = commit(tree.path, {"mine": "x\n"})
    run_git(tree.path, "checkout", "-q", "--detach", "HEAD~1")
    assert commit_all(tree) == head == commit_of(repo, "bbb/task-7")


def test_worktree_left_beside_its_branch_is_refused_and_nothing_is_lost(repo: Path, tree: Worktree) -> None:
    head = commit(tree.path, {"mine": "x\n"})
    run_git(tree.path, "checkout", "-q", "--detach", "HEAD~1")
    (tree.path / "else").write_text("y\n")
    with pytest.raises(GitError, match="lacks commits of 'bbb/task-7'"):
        commit_all(tree)
    assert commit_of(repo, "bbb/task-7") == head
    assert show(tree.path, "HEAD", "else") == "y\n"


def test_unfinished_merge_of_the_agent_is_concluded(repo: Path, tree: Worktree) -> None:
    commit(tree.path, {"README": "theirs\n"})
    commit(repo, {"README": "ours\n"})
    with pytest.raises(GitError):
        run_git(tree.path, "merge", "main")
    (tree.path / "README").write_text("both\n")
    head = commit_all(tree)
    assert len(run_git(repo, "rev-list", "--parents", "-1", head).split()) == 3


def test_repository_inside_the_worktree_is_refused(tree: Worktree) -> None:
    make_repository(tree.path / "nested")
    (tree.path / "new").write_text("x\n")
    with pytest.raises(GitError, match=r"repositories of their own.*nested"):
        commit_all(tree)
    assert (tree.path / "nested/README").exists()


def test_lock_left_by_a_killed_git_does_not_stop_the_commit(repo: Path, tree: Worktree) -> None:
    (repo / ".git/worktrees/7/index.lock").write_text("")
    (tree.path / "new").write_text("x\n")
    assert commit_all(tree) != tree.base_commit


def test_git_file_of_the_worktree_is_not_believed(repo: Path, tree: Worktree, tmp_path: Path) -> None:
    evil = make_repository(tree.path / "evil")
    script = f"touch {tmp_path}/started; cat"
    run_git(evil, "config", "filter.evil.clean", script)
    run_git(evil, "config", "core.fsmonitor", f"touch {tmp_path}/started")
    run_git(evil, "config", "core.worktree", str(tree.path))
    (tree.path / ".gitattributes").write_text("* filter=evil\n")
    (evil / ".git").rename(tree.path / "x")
    shutil.rmtree(evil)
    (tree.path / ".git").write_text(f"gitdir: {tree.path}/x\n")
    head = commit_all(tree)
    assert not (tmp_path / "started").exists()
    assert head == commit_of(repo, "bbb/task-7")
    assert (tree.path / ".git").read_text() == f"gitdir: {repo}/.git/worktrees/7\n"


def test_deleted_git_file_is_written_again(repo: Path, tree: Worktree) -> None:
    (tree.path / ".git").unlink()
    (tree.path / "new").write_text("x\n")
    assert commit_all(tree) == commit_of(repo, "bbb/task-7") != tree.base_commit


def test_worktree_made_a_repository_of_its_own_is_refused(tree: Worktree) -> None:
    (tree.path / ".git").unlink()
    run_git(tree.path, "init", "-q")
    with pytest.raises(GitError, match="repository of its own"):
        commit_all(tree)


def test_removed_worktree_cannot_be_committed(repo: Path, tree: Worktree) -> None:
    shutil.rmtree(tree.path)
    with pytest.raises(GitError, match="is no worktree"):
        commit_all(tree)


# Reading the difference


def test_diff_lists_every_kind_of_change(repo: Path, root: Path) -> None:
    commit(repo, {"gone": "x\n", "old name": "1\n2\n3\n4\n5\n", "link": "x\n"})
    tree = add(repo, root)
    (tree.path / "gone").unlink()
    (tree.path / "old name").rename(tree.path / "新 name")
    (tree.path / "link").unlink()
    (tree.path / "link").symlink_to("README")
    (tree.path / "picture").write_bytes(b"\0\1\2" * 100)
    (tree.path / "README").write_text("one\n2\nthree\nfour\n")
    commit_all(tree)
    found = workspace.diff(repo, base="main", head="bbb/task-7")
    assert {file.path: (file.status, file.additions, file.deletions) for file in found.files} == {
        "README": ("modified", 2, 1),
        "gone": ("deleted", 0, 1),
        "link": ("type_changed", 1, 1),
        "picture": ("added", 0, 0),
        "新 name": ("renamed", 0, 0),
    }
    renamed = next(file for file in found.files if file.status == "renamed")
    assert renamed.old_path == "old name"
    assert [file.path for file in found.files if file.is_binary] == ["picture"]
    assert "+four\n" in found.text
    assert "b/新 name" in found.text
    assert not found.is_truncated


def test_diff_shows_only_what_the_work_changed(repo: Path, tree: Worktree) -> None:
    commit(tree.path, {"mine": "x\n"})
    commit(repo, {"other": "new on main\n"})
    assert [file.path for file in workspace.diff(repo, base="main", head="bbb/task-7").files] == ["mine"]


def test_diff_from_the_starting_commit_outlives_the_landing(repo: Path, tree: Worktree) -> None:
    head = commit(tree.path, {"mine": "x\n"})
    run_git(repo, "merge", "-q", "--no-ff", "--no-edit", "bbb/task-7")
    assert workspace.diff(repo, base="main", head=head).files == []
    assert [file.path for file in workspace.diff(repo, base=tree.base_commit, head=head).files] == ["mine"]


def test_long_diff_is_cut_between_files_and_still_lists_all(repo: Path, tree: Worktree) -> None:
    commit(tree.path, {"a": "small\n", "b": "long line\n" * 5000, "c": "small\n"})
    found = workspace.diff(repo, base="main", head="bbb/task-7", limit=2000)
    assert found.is_truncated
    assert "+small\n" in found.text
    assert "diff --git a/b" not in found.text
    assert [file.path for file in found.files] == ["a", "b", "c"]


def test_first_file_of_a_long_diff_is_cut_between_lines(repo: Path, tree: Worktree) -> None:
    commit(tree.path, {"a": "long line\n" * 5000})
    text = workspace.diff(repo, base="main", head="bbb/task-7", limit=2000).text
    assert 1500 < len(text) <= 2000
    assert text.endswith("+long line\n")


def test_bytes_that_are_no_text_do_not_break_the_diff(repo: Path, tree: Worktree) -> None:
    (tree.path / "latin").write_bytes("größe\n".encode("latin-1"))
    Path(os.fsdecode(os.fsencode(tree.path) + b"/n\xe4me")).write_text("x\n")
    commit_all(tree)
    found = workspace.diff(repo, base="main", head="bbb/task-7")
    found.text.encode()
    assert sorted(file.path for file in found.files) == ["latin", "n\ufffdme"]


def test_diff_ignores_how_the_person_likes_diffs(repo: Path, tree: Worktree, tmp_path: Path) -> None:
    commit(tree.path, {"README": "changed\n"})
    plain = workspace.diff(repo, base="main", head="bbb/task-7")
    run_git(repo, "config", "diff.noprefix", "true")
    run_git(repo, "config", "diff.external", f"touch {tmp_path}/started")
    run_git(repo, "config", "diff.evil.textconv", f"touch {tmp_path}/started")
    run_git(repo, "config", "diff.evil.command", f"touch {tmp_path}/started")
    run_git(repo, "config", "color.ui", "always")
    (repo / ".git/info").mkdir(exist_ok=True)
    (repo / ".git/info/attributes").write_text("* diff=evil\n")
    assert workspace.diff(repo, base="main", head="bbb/task-7") == plain
    assert not (tmp_path / "started").exists()


def test_replaced_commit_cannot_hide_a_change(repo: Path, tree: Worktree) -> None:
    head = commit(tree.path, {"mine": "bad\n"})
    run_git(repo, "replace", head, tree.base_commit)
    assert "+bad" in workspace.diff(repo, base="main", head=head).text


@pytest.mark.parametrize("revision", ["nowhere", "--output=x", "", "0" * 40])
def test_diff_of_an_unknown_commit_is_refused(repo: Path, revision: str) -> None:
    with pytest.raises(GitError):
        workspace.diff(repo, base="main", head=revision)
    assert status(repo) == ""


# Removing one


def test_clean_worktree_goes_without_a_rescue(repo: Path, root: Path) -> None:
    before = everything(repo)
    tree = add(repo, root)
    commit(tree.path, {"mine": "x\n"})
    assert remove(tree) == Removal(None, False)
    assert list(root.iterdir()) == []
    assert commit_of(repo, "bbb/task-7")
    run_git(repo, "branch", "-q", "-D", "bbb/task-7")
    assert everything(repo)["worktrees"] == before["worktrees"]


def test_uncommitted_work_is_rescued_first(repo: Path, root: Path) -> None:
    commit(repo, {".gitignore": "*.log\n"})
    tree = add(repo, root)
    (tree.path / "README").write_text("changed\n")
    (tree.path / "new").write_text("new\n")
    (tree.path / "noise.log").write_text("noise\n")
    assert remove(tree) == Removal(RESCUE, False)
    assert not tree.path.exists()
    assert show(repo, RESCUE, "README") == "changed\n"
    assert show(repo, RESCUE, "new") == "new\n"
    assert commit_of(repo, f"{RESCUE}^") == tree.base_commit
    with pytest.raises(GitError):
        show(repo, RESCUE, "noise.log")


def test_commits_on_no_branch_are_rescued(repo: Path, tree: Worktree) -> None:
    run_git(tree.path, "checkout", "-q", "--detach")
    head = commit(tree.path, {"mine": "x\n"})
    assert remove(tree).rescue_ref == RESCUE
    assert commit_of(repo, RESCUE) == head


def test_commits_on_no_branch_are_rescued_when_the_folder_is_gone(repo: Path, tree: Worktree) -> None:
    run_git(tree.path, "checkout", "-q", "--detach")
    head = commit(tree.path, {"mine": "x\n"})
    shutil.rmtree(tree.path)
    assert remove(tree).rescue_ref == RESCUE
    assert commit_of(repo, RESCUE) == head


def test_earlier_rescue_is_never_overwritten(repo: Path, root: Path) -> None:
    refs = []
    for number in range(3):
        tree = add(repo, root)
        (tree.path / "new").write_text(f"{number}\n")
        refs.append(remove(tree).rescue_ref)
    assert refs == [RESCUE, f"{RESCUE}-2", f"{RESCUE}-3"]
    assert [show(repo, str(ref), "new") for ref in refs] == ["0\n", "1\n", "2\n"]


def test_uncommitted_work_is_kept_where_no_rescue_is_allowed(repo: Path, tree: Worktree) -> None:
    (tree.path / "new").write_text("x\n")
    with pytest.raises(GitError, match="was kept"):
        remove(tree, None)
    assert (tree.path / "new").exists()
    assert status(tree.path) == "?? new\n"


@pytest.mark.parametrize("ref", ["refs/heads/main", "rescue", "refs/beebeebrain/../heads/main", "refs/beebeebrain/"])
def test_rescue_ref_outside_our_own_names_is_refused(repo: Path, tree: Worktree, ref: str) -> None:
    (tree.path / "new").write_text("x\n")
    main = commit_of(repo, "main")
    with pytest.raises(GitError):
        remove(tree, ref)
    assert (tree.path / "new").exists()
    assert commit_of(repo, "main") == main


def test_repository_inside_keeps_the_worktree(tree: Worktree) -> None:
    make_repository(tree.path / "nested")
    with pytest.raises(GitError, match="was kept"):
        remove(tree)
    assert (tree.path / "nested/README").exists()
    assert status(tree.path).startswith("?? nested/")


def test_unpushed_commits_of_a_submodule_keep_the_worktree(repo: Path, root: Path, tmp_path: Path) -> None:
    library = make_repository(tmp_path / "library")
    allowed = {"GIT_ALLOW_PROTOCOL": "file"}
    run_git(repo, "submodule", "--quiet", "add", str(library), "lib", env=allowed)
    run_git(repo, "commit", "-qm", "Add library")
    tree = add(repo, root)
    run_git(tree.path, "submodule", "--quiet", "update", "--init", env=allowed)
    commit(tree.path / "lib", {"mine": "x\n"})
    with pytest.raises(GitError, match="never pushed"):
        remove(tree)
    assert (tree.path / "lib/mine").exists()
    run_git(tree.path / "lib", "checkout", "-q", "--detach", "origin/main")
    assert remove(tree) == Removal(None, False)


def test_worktree_locked_by_a_person_is_kept(repo: Path, tree: Worktree) -> None:
    run_git(repo, "worktree", "lock", "--reason", "mine now", str(tree.path))
    with pytest.raises(GitError, match=r"locked \(mine now\)"):
        remove(tree)
    assert tree.path.exists()


def test_folder_of_another_repository_is_kept(repo: Path, root: Path, tmp_path: Path) -> None:
    other = add(make_repository(tmp_path / "other"), root)
    with pytest.raises(GitError, match="is no worktree of"):
        workspace.remove_worktree(repo, other.path, root=root, rescue_ref=RESCUE)
    assert other.path.exists()


@pytest.mark.parametrize("name", [".", "..", "../project", "/", "link", "7/../.."])
def test_only_worktrees_under_the_root_are_removed(repo: Path, root: Path, tree: Worktree, name: str) -> None:
    (root / "link").symlink_to(tree.path)
    with pytest.raises(PathNotAllowed):
        workspace.remove_worktree(repo, root / name, root=root, rescue_ref=RESCUE)
    assert tree.path.exists()
    assert (repo / "README").exists()


def test_removing_twice_is_no_error(tree: Worktree) -> None:
    remove(tree)
    assert remove(tree) == Removal(None, False)


def test_removal_interrupted_half_way_is_finished_by_the_next(repo: Path, tree: Worktree) -> None:
    tree.path.rename(tree.path.with_name(".7.removed"))
    assert remove(tree) == Removal(None, False)
    assert list(tree.path.parent.iterdir()) == []
    assert str(tree.path) not in run_git(repo, "worktree", "list")


def test_read_only_folders_are_removed(tree: Worktree) -> None:
    (tree.path / "cache/deep").mkdir(parents=True)
    (tree.path / "cache/deep/file").write_text("x\n")
    commit_all(tree)
    (tree.path / "cache/deep").chmod(0o500)
    (tree.path / "cache").chmod(0o500)
    remove(tree)
    assert list(tree.path.parent.iterdir()) == []


def test_links_in_a_worktree_are_not_followed_when_it_is_removed(tree: Worktree, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").write_text("x")
    (tree.path / "link").symlink_to(tmp_path / "precious")
    remove(tree)
    assert (tmp_path / "precious/file").exists()


def test_branch_is_deleted_only_when_another_holds_its_commits(repo: Path, root: Path, tree: Worktree) -> None:
    commit(tree.path, {"mine": "x\n"})
    assert remove(tree, delete_branch=True) == Removal(None, False)
    run_git(repo, "merge", "-q", "bbb/task-7")
    assert remove(add(repo, root), delete_branch=True) == Removal(None, True)
    assert run_git(repo, "branch", "--list", "bbb/*") == ""


def test_merged_branch_that_a_person_has_checked_out_is_kept(repo: Path, tree: Worktree, tmp_path: Path) -> None:
    run_git(repo, "worktree", "add", "-q", "--force", str(tmp_path / "mine"), "bbb/task-7")
    assert remove(tree, delete_branch=True) == Removal(None, False)
    assert commit_of(repo, "bbb/task-7")
