"""What the product is for, from a task to a merged commit: the real Claude Code client, its provider played by a script."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from inbox.models import InboxItem
from inbox.services import approve_task, close_item, request_changes
from inbox.states import ItemType
from llm.claude_code import sessions
from llm.models import UsageDaily
from llm.standin.scenario import parse
from llm.standin.server import StandIn
from orchestration.models import Task
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, git, make_agent, make_project, make_task
from runtime.models import RunLog, TaskRun
from runtime.states import RunStatus
from tests.schedulers import Site, directory, kill, moves, site, slots_taken

# The client and git are what is tried here; what the scheduler asks the database is asked on both in test_scheduler_process.py.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_database]

# What a request of these numbers costs with the client's default model.
USAGE = "[usage]\ninput_tokens = 1000\noutput_tokens = 100\n"
COST = 0.006
FINISH = """
[[step]]
[[step.tool]]
name = "mcp__bbb__finish_task"
input = { summary = "All done.", evidence = "I looked." }
"""
ASK = """
[[step]]
[[step.tool]]
name = "mcp__bbb__request_input"
input = { question = "Which colour?", options = ["red", "blue"] }
"""
OVERLOADED = """
[[step]]
fault = "overloaded_error"
"""
TOO_LONG = """
[[step]]
fault = "invalid_request_error"
message = "prompt is too long: 250000 tokens > 200000 maximum"
"""


def write(text: str) -> str:
    """Return a step that writes the file of the task."""
    call = f'name = "Write"\ninput = {{ file_path = "{{cwd}}/a.txt", content = "{text}\\n" }}\n'
    return f'[[step]]\ntext = "I write."\n[[step.tool]]\n{call}'


def bash(command: str) -> str:
    """Return a step that runs a command."""
    return f"[[step]]\n[[step.tool]]\nname = \"Bash\"\ninput = {{ command = '{command}', description = 'Do it.' }}\n"


def in_rounds(first: str, *later: tuple[str, str]) -> str:
    """Return a script that plays the first steps, and others from a prompt on that contains certain words."""
    rounds = [f"[[round]]\n{first}", *(f'[[round]]\nwhen = "{when}"\n{steps}' for when, steps in later)]
    return "\n".join(rounds).replace("[[step", "[[round.step")


class Job:
    """A task in a real repository, a real client to do it, and a scheduler at work."""

    def __init__(self, at: Site, standin: StandIn, folder: Path) -> None:
        self.site = at
        self.standin = standin
        self.repo = folder / "repo"
        self.project = make_project(self.repo)
        self.agent = make_agent(self.project, name="Bee", provider="claude_code")
        self.task = make_task(self.project, title="Write the file")
        self.scheduler = at.start()

    @property
    def sessions(self) -> Path:
        """Where the client keeps its sessions."""
        return self.site.user / ".claude" / "projects"

    def until(self, status: TaskStatus) -> Task:
        """Wait until the task has come to a status."""
        return self.site.until(partial(self._in, status), f"the task is {status}")

    def _in(self, status: TaskStatus) -> Task | None:
        self.task.refresh_from_db()
        return self.task if self.task.status == status else None

    def reviewed(self, attempts: int = 1) -> list[TaskRun]:
        """Wait until the work of the last of so many attempts is in review, and return them all."""
        self.site.until(lambda: TaskRun.objects.filter(attempt=attempts).exists(), f"there are {attempts} attempts")
        self.until(TaskStatus.REVIEW)
        runs = list(TaskRun.objects.order_by("attempt"))
        assert [run.attempt for run in runs] == list(range(1, attempts + 1))
        return runs

    def question(self) -> InboxItem:
        """Wait until the agent has asked, and return what it asks."""
        questions = InboxItem.objects.open().filter(item_type=ItemType.AWAIT_USER_INPUT)
        return self.site.until(questions.first, "the agent asks")

    def told(self) -> str:
        """Return what the provider was sent last."""
        return json.dumps(self.standin.requests[-1].body["messages"])

    def landed(self) -> str:
        """Approve the work, and return what the file holds on the base branch then."""
        approve_task(self.task, actor=ACTOR)
        self.until(TaskStatus.DONE)
        return git(self.repo, "show", "main:a.txt")


@contextmanager
def job(folder: Path, script: str, **environment: str) -> Iterator[Job]:
    with StandIn(parse(USAGE + script, name="default")) as standin:
        provider = {"ANTHROPIC_BASE_URL": standin.url, "ANTHROPIC_API_KEY": "sk-ant-of-a-test-0123456789"}
        with site(folder, **provider, **environment) as at:
            yield Job(at, standin, folder)


def assert_books_balance(it: Job) -> None:
    """What the runs used is in the ledger once, and is what the client itself counts for their one session."""
    runs, ledger = list(TaskRun.objects.all()), list(UsageDaily.objects.all())
    (session,) = {run.session_id for run in runs}
    transcript = sessions.transcript(it.sessions.parent, session)
    assert transcript is not None
    clients = sessions.baseline(transcript)
    assert sum(float(run.cost_usd) for run in runs) == pytest.approx(clients.cost_usd)
    assert sum(float(day.cost_usd) for day in ledger) == pytest.approx(clients.cost_usd)
    for ours, theirs in (("token_in", "inputTokens"), ("token_out", "outputTokens")):
        counted = sum(used[theirs] for used in clients.models.values())
        assert counted
        assert sum(getattr(run, ours) for run in runs) == counted
        assert sum(getattr(day, ours) for day in ledger) == counted
    assert sum(day.run_count for day in ledger) == sum(run.epoch for run in runs)


def test_approved_work_is_a_commit_on_the_base_branch(tmp_path: Path, transactional_db: None) -> None:
    with job(tmp_path, write("one") + FINISH) as it:
        (run,) = it.reviewed()
        assert git(it.repo, "show", f"{run.head_commit}:a.txt") == "one"
        assert git(it.repo, "ls-tree", "--name-only", "main") == "README.md"
        assert it.landed() == "one"
        it.site.until(lambda: not Path(run.workspace).exists(), "its worktree is cleared away")
        run.refresh_from_db()
    assert git(it.repo, "rev-parse", "main") == run.merge_commit
    assert git(it.repo, "log", "-1", "--format=%an", run.head_commit) == "Bee"
    assert run.summary == "All done."


def test_requested_changes_are_made_in_the_same_session(tmp_path: Path, transactional_db: None) -> None:
    script = in_rounds(write("one") + FINISH, ("Please write two", write("two") + FINISH))
    with job(tmp_path, script) as it:
        it.reviewed()
        request_changes(it.task, changes="Please write two.", actor=ACTOR)
        first, second = it.reviewed(attempts=2)
        assert_books_balance(it)
        assert it.landed() == "two"
    assert (second.session_id, second.workspace) == (first.session_id, first.workspace)
    assert (directory(first).request().is_resumed, directory(second).request().is_resumed) == (False, True)
    assert [float(run.cost_usd) for run in (first, second)] == [pytest.approx(2 * COST)] * 2


def test_an_overloaded_provider_is_tried_again_and_each_attempt_has_its_own_cost(
    tmp_path: Path, transactional_db: None
) -> None:
    with job(tmp_path, write("one") + OVERLOADED + FINISH, CLAUDE_CODE_MAX_RETRIES="0") as it:
        first, second = it.reviewed(attempts=2)
        assert_books_balance(it)
    assert (first.status, first.error_code) == (RunStatus.FAILED, "overloaded")
    assert moves(second) == ["retry_scheduled", "queued", "running", "succeeded"]
    assert (second.retry_of_id, second.session_id) == (first.pk, first.session_id)
    assert [float(run.cost_usd) for run in (first, second)] == [pytest.approx(COST)] * 2


def test_an_answer_reaches_the_agent_that_waits_for_it(tmp_path: Path, transactional_db: None) -> None:
    with job(tmp_path, ASK + write("one") + FINISH) as it:
        question = it.question()
        assert (question.content, question.options) == ("Which colour?", ["red", "blue"])
        close_item(question, user_input="blue", actor=ACTOR)
        (run,) = it.reviewed()
    assert (run.epoch, moves(run)) == (1, ["queued", "running", "succeeded"])
    assert RunLog.objects.filter(run=run, kind="tool_result").order_by("seq")[0].body["text"] == "blue"


def test_an_answer_that_comes_late_resumes_the_session(tmp_path: Path, transactional_db: None) -> None:
    script = in_rounds(ASK, ("The answer: blue", write("one") + FINISH))
    with job(tmp_path, script, BBB_ASK_WAIT_S="0.1") as it:
        it.until(TaskStatus.BLOCKED)
        assert slots_taken() == {}
        parked = TaskRun.objects.get()
        assert parked.status == RunStatus.INTERRUPTED
        close_item(it.question(), user_input="blue", actor=ACTOR)
        (run,) = it.reviewed()
        assert "Which colour?" in it.told()
        assert_books_balance(it)
    assert (run.epoch, run.session_id) == (2, parked.session_id)
    assert moves(run) == ["queued", "running", "interrupted", "queued", "running", "succeeded"]
    assert float(run.cost_usd) == pytest.approx(3 * COST)


def test_a_killed_run_goes_on_in_its_session(tmp_path: Path, transactional_db: None) -> None:
    script = in_rounds(bash("touch begun; sleep 60"), ("Go on where you stopped", write("one") + FINISH))
    with job(tmp_path, script) as it:
        before = it.site.until(begun, "the agent is at work")
        kill(before)
        (run,) = it.reviewed()
        assert "touch begun" in it.told()
    assert (run.epoch, run.session_id) == (2, before.session_id)
    # The killed client left no count of its own; what went in is known, and nothing is counted twice.
    assert run.token_in == 3000
    assert sum(day.token_in for day in UsageDaily.objects.all()) == 3000


SILENT_ONCE = """
[[step]]
fault = "silence"
"""


def results_written_down(it: Job) -> int:
    return sum(path.read_text().count('"type":"tool_result"') for path in it.sessions.rglob("*.jsonl"))


def kill_client(it: Job, run: TaskRun) -> None:
    for client in it.site.processes("claude"):
        client.kill()


def kill_runner(it: Job, run: TaskRun) -> None:
    kill(run)


@pytest.mark.parametrize(("strike", "last"), [(kill_client, (2, 1)), (kill_runner, (1, 2))])
def test_what_was_done_before_a_death_is_not_done_again(
    tmp_path: Path, transactional_db: None, strike: Callable[[Job, TaskRun], None], last: tuple[int, int]
) -> None:
    words = [bash(f"echo {word} >> a.txt") for word in ("one", "two", "three")]
    script = words[0] + words[1] + SILENT_ONCE + words[2] + FINISH
    with job(tmp_path, script) as it:
        # Two tools have run, and what comes next is not known yet.
        it.site.until(lambda: len(it.standin.requests) == 3, "the results of two calls are handed in")
        # What the client has not written down when it dies, it does not know afterwards.
        it.site.until(lambda: results_written_down(it) == 2, "the session holds both results")
        before = it.site.until(TaskRun.objects.exclude(session_id="").first, "the session is known")
        strike(it, before)
        *_, after = it.reviewed(attempts=last[0])
        resumed = it.standin.requests[3].body["messages"]
    assert (after.attempt, after.epoch) == last
    assert (after.session_id, after.workspace) == (before.session_id, before.workspace)
    assert git(it.repo, "show", f"{after.head_commit}:a.txt").split() == ["one", "two", "three"]
    called = [
        block["input"]["command"] for message in resumed for block in blocks(message) if block["type"] == "tool_use"
    ]
    assert called == ["echo one >> a.txt", "echo two >> a.txt"]
    # Told again, for the client may have been killed before it had written down what it did last.
    said = [block["text"] for message in resumed for block in blocks(message) if block["type"] == "text"]
    assert any("echo two >> a.txt" in text for text in said)


def blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def begun() -> TaskRun | None:
    run = TaskRun.objects.exclude(session_id="").first()
    return run if run and Path(run.workspace, "begun").exists() else None


def test_a_conflict_with_the_base_branch_goes_back_to_the_agent(tmp_path: Path, transactional_db: None) -> None:
    merge = bash("git merge main; echo merged > a.txt")
    with job(tmp_path, in_rounds(write("ours") + FINISH, ("conflicts with `main`", merge + FINISH))) as it:
        it.reviewed()
        (it.repo / "a.txt").write_text("theirs\n")
        git(it.repo, "add", "a.txt")
        git(it.repo, "commit", "-q", "-m", "Was faster")
        theirs = git(it.repo, "rev-parse", "main")
        approve_task(it.task, actor=ACTOR)
        first, second = it.reviewed(attempts=2)
        assert "in: a.txt" in it.told()
        assert "CONFLICT (add/add)" in it.told()
        assert second.session_id == first.session_id
        assert it.landed() == "merged"
    assert git(it.repo, "merge-base", theirs, "main") == theirs


def test_a_lost_session_is_begun_anew_in_the_same_worktree(tmp_path: Path, transactional_db: None) -> None:
    with job(tmp_path, write("one") + FINISH) as it:
        it.reviewed()
        shutil.rmtree(it.sessions)
        request_changes(it.task, changes="Please look again.", actor=ACTOR)
        first, lost, third = it.reviewed(attempts=3)
        told = json.dumps(it.standin.requests[2].body["messages"])
    assert (lost.error_code, lost.session_id) == ("session_lost", first.session_id)
    assert third.session_id not in ("", first.session_id)
    assert third.workspace == first.workspace
    assert "Write the file" in told
    assert "Please look again." in told


def test_session_that_has_grown_too_long_is_left_for_a_new_one_in_the_same_worktree(tmp_path: Path) -> None:
    with job(tmp_path, TOO_LONG + write("Done.") + FINISH) as it:
        first, second = it.reviewed(2)
        assert it.landed() == "Done."
    assert first.error_code == "context_overflow"
    assert "" not in {first.session_id, second.session_id}
    assert first.session_id != second.session_id
    assert first.workspace == second.workspace
