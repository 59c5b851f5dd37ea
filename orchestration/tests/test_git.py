from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from orchestration import git
from orchestration.git import GitError, GitStarved, RepositoryInvalid, repository_lock, run_git


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    path = tmp_path / "project"
    path.mkdir()
    run_git(path, "init", "-q", "-b", "main")
    (path / "README").write_text("one\n")
    run_git(path, "add", "README")
    run_git(path, "commit", "-q", "-m", "Begin")
    return path


def start_python(code: str, *args: str) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
    )


def test_output_is_returned_and_input_is_read(repo: Path) -> None:
    blob = run_git(repo, "hash-object", "-w", "--stdin", input="grün\n").strip()
    assert run_git(repo, "cat-file", "blob", blob) == "grün\n"


def test_failure_carries_what_git_said(repo: Path) -> None:
    with pytest.raises(GitError, match=r"git rev-parse failed \(128\)") as caught:
        run_git(repo, "rev-parse", "--verify", "nowhere")
    assert "Needed a single revision" in caught.value.stderr
    assert caught.value.returncode == 128


def test_missing_folder_is_a_git_error(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="cannot change to"):
        run_git(tmp_path / "gone", "status")


def test_nul_in_an_argument_is_a_git_error(repo: Path) -> None:
    with pytest.raises(GitError, match="could not be started"):
        run_git(repo, "log", "a\0b")


def test_git_that_runs_out_of_something_itself_is_starved(repo: Path) -> None:
    run_git(repo, "config", "alias.greedy", "!echo 'fatal: cannot open pack: Too many open files' >&2; exit 128")
    with pytest.raises(GitStarved, match="Too many open files"):
        run_git(repo, "greedy")


def test_slow_command_is_stopped_with_all_its_children(repo: Path, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with pytest.raises(GitError, match="took too long"):
        run_git(repo, "-c", f"alias.slow=!echo $$ > {pid_file}; sleep 600", "slow", timeout_s=3)
    pid = int(pid_file.read_text())
    assert not Path(f"/proc/{pid}/cwd").exists()


def test_reading_stops_at_its_limit(repo: Path) -> None:
    text, is_cut = git.read_git(repo, "-c", "alias.flood=!yes", "flood", limit=1000)
    assert (len(text), is_cut) == (1000, True)
    assert git.read_git(repo, "log", "--format=%s", limit=1000) == ("Begin\n", False)


@pytest.mark.parametrize("hook", ["pre-commit", "post-checkout", "reference-transaction", "post-index-change"])
def test_hooks_of_the_repository_never_run(repo: Path, tmp_path: Path, hook: str) -> None:
    script = repo / ".git/hooks" / hook
    script.parent.mkdir(exist_ok=True)
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\nexit 1\n")
    script.chmod(0o755)
    (repo / "README").write_text("two\n")
    run_git(repo, "commit", "-qam", "Two")
    run_git(repo, "checkout", "-q", "-b", "other")
    assert not (tmp_path / "hooked").exists()


@pytest.mark.parametrize(
    "name", ["core.fsmonitor", "core.hooksPath", "core.pager", "core.editor", "gpg.program", "diff.external"]
)
def test_programs_named_by_the_repository_never_run(repo: Path, tmp_path: Path, name: str) -> None:
    script = tmp_path / "evil"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    script.chmod(0o755)
    run_git(repo, "config", name, str(script))
    run_git(repo, "config", "commit.gpgSign", "true")
    (repo / "README").write_text("two\n")
    run_git(repo, "status")
    run_git(repo, "commit", "-qam", "Two")
    run_git(repo, "log", "-1")
    assert not (tmp_path / "started").exists()


def test_no_transport_is_allowed(repo: Path, tmp_path: Path) -> None:
    run_git(repo, "config", "protocol.ext.allow", "always")
    with pytest.raises(GitError, match="not allowed"):
        run_git(repo, "fetch", f"ext::touch {tmp_path}/fetched")
    assert not (tmp_path / "fetched").exists()


def test_environment_of_the_caller_does_not_reach_git(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody")
    monkeypatch.setenv("BBB_SECRET", "hidden")
    run_git(repo, "commit", "-q", "--allow-empty", "-m", "Empty")
    assert run_git(repo, "log", "-1", "--format=%an <%ae>") == "BeeBeeBrain <beebeebrain@localhost>\n"
    assert "hidden" not in run_git(repo, "-c", "alias.show-env=!env", "show-env")


def test_commit_works_without_any_identity_of_the_person(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    run_git(repo, "-c", "user.useConfigOnly=true", "commit", "-q", "--allow-empty", "-m", "Empty")


@pytest.mark.parametrize(
    ("name", "written"),
    [("Ada", "Ada"), ("Ada <a@b>\n", "Ada a@b"), ("<>", "BeeBeeBrain"), ("...", "BeeBeeBrain"), ("工蜂", "工蜂")],
)
def test_every_agent_name_makes_a_valid_author(repo: Path, name: str, written: str) -> None:
    run_git(repo, "commit", "-q", "--allow-empty", "-m", "Empty", env=git.author(name))
    assert run_git(repo, "log", "-1", "--format=%an|%cn") == f"{written}|BeeBeeBrain\n"


def test_folder_above_is_never_taken_for_the_repository(repo: Path) -> None:
    inner = repo / "inner"
    inner.mkdir()
    with pytest.raises(GitError, match="not a git repository"):
        run_git(inner, "rev-parse", "HEAD")


@pytest.mark.parametrize("name", ["main", "bbb/task-1", "grün", "a@b"])
def test_ordinary_branch_names_are_accepted(name: str) -> None:
    assert git.validate_branch(name) == name


@pytest.mark.parametrize(
    "name", ["", "-d", "--help", "HEAD", "a..b", "a b", "a\nb", "a\0b", "a~1", "@{-1}", "a.lock", "/a", "a/", "\udc80"]
)
def test_other_branch_names_are_refused(name: str) -> None:
    with pytest.raises(GitError, match="no valid branch name"):
        git.validate_branch(name)


def test_inspection_returns_the_head_of_the_base_branch(repo: Path) -> None:
    assert git.inspect_repository(repo, "main") == run_git(repo, "rev-parse", "main").strip()


def test_inspection_accepts_a_link_to_the_root(repo: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(repo)
    assert git.inspect_repository(link, "main")


def test_linked_worktree_is_a_repository_root(repo: Path, tmp_path: Path) -> None:
    run_git(repo, "worktree", "add", "-q", str(tmp_path / "linked"), "-b", "other")
    assert git.inspect_repository(tmp_path / "linked", "main")


def code_of(path: Path, branch: str = "main") -> str:
    with pytest.raises(RepositoryInvalid) as caught:
        git.inspect_repository(path, branch)
    return caught.value.code


def test_unusable_paths_are_told_apart(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (repo / "inner").mkdir()
    run_git(tmp_path, "init", "-q", "--bare", "bare")
    assert code_of(tmp_path / "gone") == "path_not_found"
    assert code_of(repo / "README") == "path_not_found"
    assert code_of(tmp_path / "plain") == "not_a_repository"
    assert code_of(repo / "inner") == "not_repository_root"
    assert code_of(repo / ".git") == "not_repository_root"
    assert code_of(tmp_path / "bare") == "not_repository_root"


def test_repository_without_commit_is_empty(tmp_path: Path) -> None:
    run_git(tmp_path, "init", "-q", "-b", "main")
    assert code_of(tmp_path) == "repository_empty"


@pytest.mark.parametrize("branch", ["develop", "-x", "main~0", "HEAD", "refs/heads/main", ""])
def test_only_a_plain_branch_name_is_a_base_branch(repo: Path, branch: str) -> None:
    assert code_of(repo, branch) == "base_branch_missing"


def test_message_about_a_missing_branch_names_those_that_exist(repo: Path) -> None:
    with pytest.raises(RepositoryInvalid, match=r"no branch 'develop'.*main"):
        git.inspect_repository(repo, "develop")


def test_checkouts_are_listed_with_their_branches(repo: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd\nname"
    run_git(repo, "worktree", "add", "-q", "--detach", str(odd))
    head = run_git(repo, "rev-parse", "HEAD").strip()
    assert git.checkouts(repo) == [git.Checkout(repo, head, "main"), git.Checkout(odd, head, "")]


def test_lock_excludes_other_threads(repo: Path) -> None:
    failures: list[str] = []

    def rival() -> None:
        try:
            with repository_lock(repo, timeout_s=0.1):
                pass
        except GitError as error:
            failures.append(str(error))

    with repository_lock(repo):
        thread = threading.Thread(target=rival)
        thread.start()
        thread.join()
    assert failures
    assert "stayed locked" in failures[0]


def test_lock_is_reentrant_and_free_afterwards(repo: Path) -> None:
    with repository_lock(repo), repository_lock(repo):
        pass
    with repository_lock(repo, timeout_s=0):
        pass


def test_lock_excludes_other_processes_until_they_are_killed(repo: Path) -> None:
    holder = start_python(
        """
        import sys
        from pathlib import Path
        from orchestration.git import repository_lock
        with repository_lock(Path(sys.argv[1])):
            print("locked", flush=True)
            sys.stdin.read()
        """,
        str(repo),
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(GitError, match="stayed locked"), repository_lock(repo, timeout_s=0.1):
            pass
        holder.kill()
    with repository_lock(repo, timeout_s=60):
        pass


def test_command_that_outlives_its_starter_keeps_the_lock(repo: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    holder = start_python(
        """
        import sys
        from pathlib import Path
        from orchestration.git import repository_lock, run_git
        with repository_lock(Path(sys.argv[1])):
            run_git(Path(sys.argv[1]), "-c", f"alias.wait=!touch {sys.argv[2]}.begun; cat {sys.argv[2]}", "wait")
        """,
        str(repo),
        str(gate),
    )
    with holder:
        deadline = time.monotonic() + 60
        while not Path(f"{gate}.begun").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        holder.kill()
    with pytest.raises(GitError, match="stayed locked"), repository_lock(repo, timeout_s=0.2):
        pass
    gate.write_text("go")
    with repository_lock(repo, timeout_s=60):
        pass


def test_version_is_new_enough_here() -> None:
    assert git.git_version() >= git.MINIMUM_VERSION
