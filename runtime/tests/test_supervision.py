from __future__ import annotations

import select
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any

import psutil
import pytest
from pytest_django import Settings

from events.models import Event
from events.states import EventType
from inbox.models import InboxItem
from inbox.states import ItemType
from orchestration.models import Agent, Project, Task
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, git, make_agent, make_task
from runtime import processes, supervision
from runtime.exceptions import StaleRun
from runtime.models import RunLog, Slot, TaskRun
from runtime.rundir import ExitRecord, RunDirectory
from runtime.services import commands
from runtime.services.finishing import finish_run
from runtime.states import RunStatus
from runtime.supervision import Watch
from runtime.tests.factories import ending
from runtime.tests.runners import until
from runtime.tests.starts import begun, make_directory, make_worktree, say, start_process

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, name="Ada")


@pytest.fixture
def run(project: Project, agent: Agent) -> TaskRun:
    return begun(make_task(project, title="Paint it"), agent)


@pytest.fixture
def directory(run: TaskRun, tmp_path: Path) -> RunDirectory:
    return make_directory(run, tmp_path)


@pytest.fixture
def watched(run: TaskRun, directory: RunDirectory) -> Watch:
    return Watch(run=run, directory=directory)


def system(type_: str, **body: Any) -> tuple[str, dict[str, Any]]:
    return "system", {"type": type_, **body}


def text(said: str) -> tuple[str, dict[str, Any]]:
    return "text", {"text": said}


def follow_all(watched: Watch) -> None:
    while supervision.follow(watched):
        pass


def read_again(watched: Watch) -> Watch:
    """Return the watch of a scheduler that was started anew."""
    run = TaskRun.objects.select_related("task__project", "agent").get(pk=watched.run.pk)
    return Watch(run=run, directory=watched.directory)


def lines() -> list[tuple[int, str]]:
    return [(line.seq, line.body.get("text", "")) for line in RunLog.objects.order_by("seq")]


def with_process(watched: Watch, command: str = "exec sleep 60") -> Popen[bytes]:
    """Give a watched run a process, and say who it is as a start does."""
    process = start_process(watched.directory, command)
    start = watched.directory.start()
    assert start is not None
    run = watched.run
    run.pid, run.pid_start_ticks, run.boot_id = start.pid, start.start_ticks, start.boot_id
    return process


def kill(process: Popen[bytes]) -> None:
    process.kill()
    process.wait()


# Lines


def test_lines_are_carried_over_once(watched: Watch) -> None:
    say(watched.directory, text("one"), text("two"))
    follow_all(watched)
    follow_all(watched)
    say(watched.directory, text("three"))
    follow_all(watched)
    assert lines() == [(1, "one"), (2, "two"), (3, "three")]


def test_a_restarted_scheduler_goes_on_behind_the_last_line(watched: Watch) -> None:
    say(watched.directory, text("one"), text("two"))
    follow_all(watched)
    say(watched.directory, text("three"))
    follow_all(read_again(watched))
    assert lines() == [(1, "one"), (2, "two"), (3, "three")]


def test_lines_go_on_counting_over_the_epochs(watched: Watch, agent: Agent, tmp_path: Path) -> None:
    say(watched.directory, text("one"), text("two"))
    follow_all(watched)
    finish_run(watched.run, ending("interrupted"))
    again = begun(watched.run.task, agent)
    second = Watch(run=again, directory=make_directory(again, tmp_path))
    say(second.directory, text("three"))
    follow_all(second)
    assert lines() == [(1, "one"), (2, "two"), (3, "three")]


def test_a_flood_comes_in_batches(watched: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "BATCH", 2)
    say(watched.directory, *(text(str(number)) for number in range(5)))
    assert [supervision.follow(watched) for _ in range(3)] == [True, True, False]
    assert [seq for seq, _ in lines()] == [1, 2, 3, 4, 5]
    assert Event.objects.filter(type=EventType.RUN_PROGRESS).count() == 3


def test_half_a_line_is_left_for_later(watched: Watch) -> None:
    say(watched.directory, text("one"))
    whole = watched.directory.events_path.read_bytes()
    with watched.directory.events_path.open("ab") as stream:
        stream.write(whole[:20])
        stream.flush()
        follow_all(watched)
        stream.write(whole[20:])
    assert lines() == [(1, "one")]
    follow_all(watched)
    assert lines() == [(1, "one"), (2, "one")]


def test_a_byte_that_no_database_takes_loses_no_line(watched: Watch) -> None:
    say(watched.directory, text("a\0b"), system("ask", ask_id="1.1", question="\0?", options=[]))
    follow_all(watched)
    assert lines()[0] == (1, "a\N{REPLACEMENT CHARACTER}b")
    assert InboxItem.objects.get().content == "\N{REPLACEMENT CHARACTER}?"


def test_a_stale_owner_carries_nothing_over(watched: Watch) -> None:
    say(watched.directory, text("one"), system("ask", ask_id="1.1", question="?", options=[]))
    TaskRun.objects.update(owner="scheduler-two")
    before = Event.objects.count()
    with pytest.raises(StaleRun):
        supervision.follow(watched)
    assert (RunLog.objects.count(), InboxItem.objects.count(), Event.objects.count()) == (0, 0, before)
    assert TaskRun.objects.get().log_offset == 0


def test_an_older_epoch_carries_nothing_over(watched: Watch) -> None:
    say(watched.directory, text("one"))
    TaskRun.objects.update(epoch=2)
    with pytest.raises(StaleRun):
        supervision.follow(watched)
    assert not RunLog.objects.exists()


def test_what_was_rolled_back_is_read_again(watched: Watch) -> None:
    say(watched.directory, text("one"), system("ask", ask_id="1.1"))
    for _ in range(2):
        with pytest.raises(KeyError):
            supervision.follow(watched)
        assert (watched.run.log_offset, watched.run.log_seq, RunLog.objects.count()) == (0, 0, 0)


# What lines ask for


def test_a_question_becomes_one_item(watched: Watch) -> None:
    asked = system("ask", ask_id="1.1", question="Which colour?", options=["blue", "red"])
    say(watched.directory, asked, asked)
    follow_all(watched)
    item = InboxItem.objects.get()
    assert (item.item_type, item.run_id, item.content) == (
        ItemType.AWAIT_USER_INPUT,
        watched.run.pk,
        "Which colour?",
    )
    assert (item.title, item.options) == ("Question: Paint it", ["blue", "red"])


def test_a_refused_tool_call_is_on_record(watched: Watch) -> None:
    say(watched.directory, system("permission_denied", tool_name="Write", message="It leads out of the worktree."))
    follow_all(watched)
    event = Event.objects.get(type=EventType.TOOL_COMMAND_AUDIT)
    assert (event.run_id, event.actor) == (watched.run.pk, f"agent:{watched.run.agent_id}")
    assert event.payload == {"tool": "Write", "outcome": "denied", "reason": "It leads out of the worktree."}


def test_the_session_is_kept_as_soon_as_it_is_known(watched: Watch) -> None:
    say(watched.directory, system("session", session_id="the-session", model="m"))
    follow_all(watched)
    assert TaskRun.objects.get().session_id == "the-session"


def test_one_event_a_batch_tells_where_the_run_is(watched: Watch) -> None:
    used = system("usage", turns=2, token_out=30, cost_usd=0.5)
    say(watched.directory, text("first"), used, text("x" * 600))
    follow_all(watched)
    event = Event.objects.get(type=EventType.RUN_PROGRESS)
    assert event.trace_id == watched.run.trace_id
    assert event.payload == {
        "epoch": 1, "seq": 3, "kind": "text", "text": "x" * 500, "turns": 2, "token_out": 30, "cost_usd": 0.5,
    }  # fmt: skip


# The end


def test_a_run_whose_process_lives_has_not_ended(watched: Watch) -> None:
    with_process(watched)
    assert [supervision.ended(watched) for _ in range(3)] == [None, None, None]


def test_two_misses_make_a_death(watched: Watch) -> None:
    kill(with_process(watched))
    assert supervision.ended(watched) is None
    record = supervision.ended(watched)
    assert record is not None
    assert (record.outcome, record.code) == ("interrupted", "process_gone")


def test_a_process_that_ended_well_between_two_looks_is_believed(watched: Watch) -> None:
    kill(with_process(watched))
    assert supervision.ended(watched) is None
    watched.directory.write_exit(ExitRecord(outcome="finished"))
    assert supervision.ended(watched) == ExitRecord(outcome="finished")


def test_a_pid_that_another_process_uses_by_now_is_a_death(watched: Watch) -> None:
    with_process(watched)
    assert watched.run.pid_start_ticks is not None
    watched.run.pid_start_ticks -= 1
    assert until(lambda: supervision.ended(watched), "the end").code == "process_gone"


def test_what_a_dead_runner_left_running_is_ended(watched: Watch) -> None:
    runner = with_process(watched, "setsid sleep 60 & wait")
    [left] = until(lambda: [pid for pid in processes.tagged(watched.directory.tag) if pid != runner.pid], "the child")
    kill(runner)
    assert psutil.pid_exists(left)
    supervision.gone(watched.run, watched.directory)
    assert processes.tagged(watched.directory.tag) == []


def test_nobody_waits_for_what_a_dead_runner_left_running(
    watched: Watch, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.STOP_GRACE_S = 0.5
    runner = with_process(watched, "trap '' TERM; sleep 60 & sleep 60")
    until(lambda: len(processes.tagged(watched.directory.tag)) == 3, "all of them")
    kill(runner)
    with monkeypatch.context() as patient:
        patient.setattr(time, "sleep", _fail)
        looks = [supervision.ended(watched) for _ in range(3)]
    assert looks == [None, None, None]
    assert until(lambda: supervision.ended(watched), "the end").code == "process_gone"
    assert processes.tagged(watched.directory.tag) == []


def _fail(_seconds: float) -> None:
    raise AssertionError("it waits")


def test_what_a_dead_runner_has_used_is_not_lost(watched: Watch) -> None:
    used = [system("usage", turns=turns, token_in=10 * turns, cost_usd=turns / 4) for turns in (1, 2)]
    say(watched.directory, *used, text("and then"))
    record = supervision.gone(watched.run, watched.directory)
    assert (record.usage.turns, record.usage.token_in, record.usage.cost_usd) == (2, 20, 0.5)


def test_a_watch_wakes_when_its_process_ends(run: TaskRun, watched: Watch) -> None:
    process = with_process(watched)
    opened = supervision.watch(run, watched.directory)
    assert opened.pidfd is not None
    kill(process)
    assert select.select([opened.pidfd], [], [], 20)[0]
    opened.close()
    opened.close()


def test_what_the_agent_left_uncommitted_is_committed_in_its_name(watched: Watch, project: Project) -> None:
    worktree = make_worktree(watched.run)
    (worktree.path / "new.txt").write_text("x\n")
    say(watched.directory, text("the last words"))
    supervision.conclude(watched, ending("finished", message="Painted it blue."))
    run = TaskRun.objects.select_related("task").get()
    assert (run.status, run.task.status, lines()) == (RunStatus.SUCCEEDED, TaskStatus.REVIEW, [(1, "the last words")])
    head = git(Path(project.root_path), "log", "-1", "--format=%H %an %s", worktree.branch)
    assert head == f"{run.head_commit} Ada Paint it"
    assert git(Path(project.root_path), "show", f"{worktree.branch}:new.txt") == "x"


def test_an_interrupted_run_keeps_its_worktree_as_it_is(watched: Watch) -> None:
    worktree = make_worktree(watched.run)
    (worktree.path / "draft.txt").write_text("half\n")
    supervision.conclude(watched, ending("interrupted"))
    assert git(worktree.path, "status", "--porcelain") == "?? draft.txt"


def test_work_that_cannot_be_committed_fails_with_a_code_and_what_it_cost(watched: Watch) -> None:
    worktree = make_worktree(watched.run)
    git(worktree.path, "init", "-q", "inner")
    (worktree.path / "inner/file").write_text("x\n")
    git(worktree.path / "inner", "add", "file")
    git(worktree.path / "inner", "commit", "-q", "-m", "x")
    supervision.conclude(watched, ending("finished"))
    run = TaskRun.objects.get()
    assert (run.status, run.error_code, run.turns) == (RunStatus.FAILED, "commit_failed", 2)
    assert "inner" in InboxItem.objects.get().content


def test_what_an_agent_says_is_kept_whatever_it_is(watched: Watch) -> None:
    watched.directory.write_exit(ending("blocked", message="\ud83d and \0"))
    record = supervision.ended(watched)
    assert record is not None
    supervision.conclude(watched, record)
    assert TaskRun.objects.get().summary == "? and \N{REPLACEMENT CHARACTER}"


def test_a_run_that_cannot_be_read_ends_as_failed(watched: Watch) -> None:
    process = with_process(watched)
    supervision.give_up(watched.run, watched.directory, ValueError("Expecting value"))
    run = TaskRun.objects.select_related("task").get()
    assert (run.status, run.error_code, run.task.status) == (RunStatus.FAILED, "protocol", TaskStatus.FAILED)
    assert run.error_message == "ValueError: Expecting value"
    assert process.poll() is not None
    assert set(Slot.objects.values_list("running", flat=True)) == {0}


def test_a_run_that_another_scheduler_has_is_not_ours_to_end(watched: Watch) -> None:
    process = with_process(watched)
    TaskRun.objects.update(owner="scheduler-two")
    supervision.give_up(watched.run, watched.directory, ValueError("?"))
    assert TaskRun.objects.get().status == RunStatus.RUNNING
    assert process.poll() is None
    assert Event.objects.filter(type=EventType.RUN_STALE_WRITE_REJECTED, payload__action="give up").exists()


# What people ask for


def pass_on(watched: Watch) -> None:
    supervision.pass_on_intents(watched, Task.objects.get())


def test_a_pause_is_passed_on_once(watched: Watch) -> None:
    commands.pause_task(watched.run.task, actor=ACTOR)
    pass_on(watched)
    assert watched.directory.received("interrupt") == {"reason": "interrupt"}
    (watched.directory.path / "control/interrupt.json").unlink()
    pass_on(watched)
    assert watched.directory.received("interrupt") is None


def test_a_cancel_is_passed_on_even_after_a_pause(watched: Watch) -> None:
    commands.pause_task(watched.run.task, actor=ACTOR)
    pass_on(watched)
    commands.cancel_task(Task.objects.get(), actor=ACTOR)
    pass_on(watched)
    assert watched.directory.received("cancel") is not None


def test_nothing_is_passed_on_unasked(watched: Watch) -> None:
    pass_on(watched)
    assert list((watched.directory.path / "control").iterdir()) == []


def test_a_run_whose_directory_was_swept_away_is_asked_by_a_signal(watched: Watch, settings: Settings) -> None:
    process = with_process(watched)
    shutil.rmtree(watched.directory.path)
    commands.pause_task(watched.run.task, actor=ACTOR)
    pass_on(watched)
    watched.asked_at -= 2 * settings.STOP_GRACE_S
    pass_on(watched)
    assert process.wait() == -15


@pytest.mark.parametrize("command", [commands.pause_task, commands.cancel_task])
def test_a_run_that_does_not_listen_is_asked_by_a_signal_and_then_killed(
    watched: Watch, settings: Settings, tmp_path: Path, command: Callable[..., Task]
) -> None:
    settings.STOP_GRACE_S = 60
    asked, ready = tmp_path / "asked", tmp_path / "ready"
    script = f"trap 'touch {asked}' TERM; touch {ready}; while :; do sleep 0.05; done"
    process = with_process(watched, script)
    until(ready.exists)
    command(watched.run.task, actor=ACTOR)
    pass_on(watched)
    pass_on(watched)
    watched.asked_at -= 2 * settings.STOP_GRACE_S
    pass_on(watched)
    until(asked.exists, "the signal")
    pass_on(watched)
    assert process.poll() is None
    watched.asked_at -= settings.STOP_GRACE_S
    pass_on(watched)
    assert process.wait() == -9
