from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from events.models import Event
from events.states import EventType
from events.wakeup import Listener
from inbox import services as inbox
from inbox.models import InboxItem
from inbox.states import ItemType
from orchestration.models import Agent, Project, Task
from orchestration.services.projects import update_project
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_task
from runtime import dispatcher as dispatching
from runtime import leases, supervision
from runtime.dispatcher import Dispatcher
from runtime.executors import local
from runtime.models import RunLog, SchedulerInstance, Slot, TaskRun
from runtime.rundir import RunDirectory
from runtime.services import commands
from runtime.services.finishing import finish_run, finish_together
from runtime.starting import directory_of
from runtime.states import RunStatus
from runtime.tests.factories import ending
from runtime.tests.runners import until
from runtime.tests.starts import begun, kill_runner, living, tick_until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
# A scheduler that runs closes its connection between two rounds, and with it any transaction of a test's.
runs = pytest.mark.django_db(transaction=True)


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=4)


@pytest.fixture
def dispatcher() -> Dispatcher:
    return Dispatcher()


def play(project: Project, *script: str) -> Task:
    """Make a task whose agent does these lines."""
    return make_task(project, description="\n".join(f"noop: {line}" for line in script))


def run_of(task: Task) -> TaskRun:
    return TaskRun.objects.select_related("task").get(task=task)


def is_at(task: Task, status: TaskStatus) -> Callable[[], bool]:
    return lambda: Task.objects.get(pk=task.pk).status == status


def hanging(dispatcher: Dispatcher, project: Project) -> tuple[Task, RunDirectory]:
    """Return a task whose agent is at work and will never end, and the directory of its run."""
    task = play(project, "say Here I am.", "hang")
    said = RunLog.objects.filter(run__task=task, kind="text")
    tick_until(dispatcher, said.exists, "the agent to say something")
    return task, directory_of(run_of(task))


# From todo to done


def test_those_that_run_are_looked_after_while_others_are_started(
    project: Project, agent: Agent, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatching, "STARTS", 2)
    watched: list[int] = []
    supervise = dispatcher.supervise

    def noted() -> bool:
        watched.append(len(dispatcher._watched))
        return supervise()

    monkeypatch.setattr(dispatcher, "supervise", noted)
    for _ in range(4):
        play(project, "hang")
    dispatcher.tick()
    assert watched == [0, 2, 4]


@runs
def test_once_ends_when_only_people_could_bring_more(project: Project, agent: Agent, dispatcher: Dispatcher) -> None:
    first, second = play(project, "write a.txt x", "finish Wrote a."), play(project, "write b.txt x")
    child = make_task(project, depends_on=[first])
    dispatcher.run(once=True)
    assert [is_at(task, TaskStatus.REVIEW)() for task in (first, second)] == [True, True]
    assert is_at(child, TaskStatus.TODO)()
    assert run_of(first).summary == "Wrote a."
    assert set(Slot.objects.values_list("running", flat=True)) == {0}


@runs
def test_approved_work_lands_and_what_waits_for_it_follows(
    project: Project, agent: Agent, dispatcher: Dispatcher
) -> None:
    update_project(project, actor=ACTOR, auto_approve=True)
    first = play(project, "write a.txt x")
    second = make_task(
        project, description="noop: run test -e a.txt && echo y > b.txt\nnoop: finish", depends_on=[first]
    )
    dispatcher.run(once=True)
    assert [is_at(task, TaskStatus.DONE)() for task in (first, second)] == [True, True]
    assert (Path(project.root_path) / "b.txt").read_text() == "y\n"


def test_a_question_is_answered_in_place(project: Project, agent: Agent, dispatcher: Dispatcher) -> None:
    task = play(project, "ask Which colour?", "finish Painted it.")
    item = tick_until(dispatcher, InboxItem.objects.open().first, "the question")
    inbox.close_item(item, actor=ACTOR, user_input="Blue")
    tick_until(dispatcher, is_at(task, TaskStatus.REVIEW), "the review")
    assert RunLog.objects.filter(kind="text", body__text="Blue").exists()
    assert run_of(task).epoch == 1


@runs
def test_a_question_nobody_answers_frees_the_slot_and_its_answer_resumes_the_run(
    project: Project, agent: Agent, dispatcher: Dispatcher, settings: Settings
) -> None:
    settings.ASK_WAIT_S = 0
    task = play(project, "ask Which colour?")
    dispatcher.run(once=True)
    assert is_at(task, TaskStatus.BLOCKED)()
    assert set(Slot.objects.values_list("running", flat=True)) == {0}
    inbox.close_item(InboxItem.objects.get(), actor=ACTOR, user_input="Blue")
    Dispatcher().run(once=True)
    assert (is_at(task, TaskStatus.REVIEW)(), run_of(task).epoch, run_of(task).attempt) == (True, 2, 1)


@runs
def test_a_run_whose_runner_is_killed_goes_on_in_its_session(
    project: Project, agent: Agent, dispatcher: Dispatcher
) -> None:
    task = play(project, "write a.txt x", "kill")
    dispatcher.run(once=True)
    run = run_of(task)
    assert (run.status, run.attempt, run.epoch) == (RunStatus.SUCCEEDED, 1, 2)
    assert (Path(run.workspace) / "a.txt").exists()


def test_a_cancel_reaches_the_agent(project: Project, agent: Agent, dispatcher: Dispatcher, home: Path) -> None:
    task, _ = hanging(dispatcher, project)
    commands.cancel_task(Task.objects.get(), actor=ACTOR)
    tick_until(dispatcher, is_at(task, TaskStatus.CANCELLED), "the cancel")
    assert run_of(task).status == RunStatus.CANCELLED
    until(lambda: not living(home), "the runner to be gone")


def test_a_pause_keeps_the_session_for_later(project: Project, agent: Agent, dispatcher: Dispatcher) -> None:
    task, _ = hanging(dispatcher, project)
    commands.pause_task(Task.objects.get(), actor=ACTOR)
    tick_until(dispatcher, is_at(task, TaskStatus.BLOCKED), "the pause")
    assert (run_of(task).status, bool(run_of(task).session_id)) == (RunStatus.INTERRUPTED, True)


@runs
def test_a_failure_of_the_provider_is_tried_again_by_itself(
    project: Project, agent: Agent, dispatcher: Dispatcher
) -> None:
    task = play(project, "fail overloaded")
    dispatcher.run(once=True)
    # The second attempt goes on in the session of the first, where the script is over.
    attempts = TaskRun.objects.filter(task=task).order_by("attempt").values_list("attempt", "status", "error_code")
    assert list(attempts) == [(1, "failed", "overloaded"), (2, "succeeded", "")]


# Steps


def test_a_step_tells_whether_it_did_anything(project: Project, agent: Agent, dispatcher: Dispatcher) -> None:
    task = play(project, "finish")
    assert [dispatcher.dispatch(), dispatcher.dispatch()] == [True, False]
    until(dispatcher.supervise, "the agent to say something")

    def is_over() -> bool:
        dispatcher.supervise()
        return is_at(task, TaskStatus.REVIEW)()

    until(is_over, "the review")
    assert [dispatcher.supervise(), dispatcher.land()] == [False, False]
    inbox.approve_task(Task.objects.get(), actor=ACTOR)
    assert [dispatcher.land(), dispatcher.land()] == [True, False]
    assert [dispatcher.promote(), dispatcher.deliver(), dispatcher.recover()] == [False, False, False]


def test_a_due_retry_is_promoted_by_its_step(project: Project, agent: Agent, dispatcher: Dispatcher) -> None:
    finish_run(begun(make_task(project), agent), ending("failed", code="overloaded"))
    TaskRun.objects.filter(attempt=2).update(next_retry_at=leases.now() - timedelta(seconds=1))
    assert [dispatcher.promote(), dispatcher.promote()] == [True, False]


def test_an_answer_is_delivered_by_its_step(project: Project, agent: Agent, dispatcher: Dispatcher) -> None:
    finish_run(begun(make_task(project), agent), ending("blocked", message="?"))
    inbox.close_item(InboxItem.objects.get(), actor=ACTOR, user_input="!")
    assert [dispatcher.deliver(), dispatcher.deliver()] == [True, False]


def test_a_tick_with_nothing_to_do_writes_nothing(project: Project, agent: Agent, dispatcher: Dispatcher) -> None:
    dispatcher.heartbeat()
    with CaptureQueriesContext(connection) as queries:
        assert not dispatcher.tick()
    assert {query["sql"].split()[0] for query in queries} == {"SELECT"}


def test_a_round_with_nothing_to_do_asks_two_questions(project: Project, agent: Agent, dispatcher: Dispatcher) -> None:
    dispatcher.tick()
    with CaptureQueriesContext(connection) as queries:
        dispatcher.tick()
        dispatcher._nap_s()
    assert len(queries) == 2


def test_what_an_answer_lets_go_on_is_started_in_the_same_round(
    project: Project, agent: Agent, dispatcher: Dispatcher
) -> None:
    finish_run(begun(make_task(project), agent), ending("blocked", message="?"))
    inbox.close_item(InboxItem.objects.get(), actor=ACTOR, user_input="!")
    dispatcher.tick()
    assert TaskRun.objects.get().status == RunStatus.RUNNING


def test_it_sleeps_no_longer_than_until_a_task_comes_due(
    project: Project, agent: Agent, dispatcher: Dispatcher, settings: Settings
) -> None:
    settings.TICK_S = 1000
    dispatcher.tick()
    idle = dispatcher._nap_s()
    make_task(project, not_before=leases.now() + timedelta(seconds=100))
    dispatcher.tick()
    assert idle == settings.TICK_S
    assert dispatcher._nap_s() <= 100


@runs
def test_after_a_round_in_vain_it_rests_however_soon_others_commit(
    project: Project, agent: Agent, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests, clock = list[float](), partial(next, count(step=0.005))
    monkeypatch.setattr(Listener, "wait", lambda *_: True)

    def rest(seconds: float) -> None:
        rests.append(round(seconds, 3))
        dispatcher.drain()

    monkeypatch.setattr(dispatching, "time", SimpleNamespace(monotonic=clock, thread_time=clock, sleep=rest))
    dispatcher.run()
    # The clock goes on by 5 ms at each look: the round took 10, and 10 of the 40 are over when it has been woken.
    assert rests == [0.03]


# When to stop


@runs
def test_no_more_runs_are_started_than_it_was_told(project: Project, agent: Agent) -> None:
    first, second = play(project, "finish"), play(project, "finish")
    Dispatcher(max_runs=1).run()
    assert (is_at(first, TaskStatus.REVIEW)(), is_at(second, TaskStatus.TODO)()) == (True, True)


@runs
def test_once_does_not_wait_for_what_only_a_person_can_let_go(
    project: Project, agent: Agent, dispatcher: Dispatcher
) -> None:
    finish_run(begun(make_task(project), agent), ending("interrupted"))
    finish_run(begun(make_task(project), agent), ending("failed", code="overloaded"))
    commands.pause_task(Task.objects.get(runs__status=RunStatus.RETRY_SCHEDULED), actor=ACTOR)
    update_project(project, actor=ACTOR, is_paused=True)
    dispatcher.run(once=True)
    assert set(TaskRun.objects.values_list("status", flat=True)) == {"queued", "failed", "retry_scheduled"}


@runs
def test_a_scheduler_that_drains_claims_nothing_and_leaves(
    project: Project, agent: Agent, dispatcher: Dispatcher
) -> None:
    make_task(project)
    dispatcher.drain()
    dispatcher.run()
    assert not TaskRun.objects.exists()
    assert not SchedulerInstance.objects.exists()


@runs
def test_sigterm_leaves_the_agents_to_the_next_scheduler(
    project: Project, agent: Agent, dispatcher: Dispatcher, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatching, "SECOND_CALL_S", 0)
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    task = play(project, "say Here I am.", "hang")

    def terminate() -> None:
        until(lambda: list((home / "runs").glob("*/start.json")), "the agent")
        os.kill(os.getpid(), signal.SIGTERM)

    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(terminate)
        dispatcher.run()
        told.result()
    assert run_of(task).status == RunStatus.RUNNING
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers
    following = Dispatcher()
    assert following.recover()
    assert (run_of(task).epoch, f"scheduler:{run_of(task).owner}") == (1, following.actor)
    assert living(home)


@runs
def test_a_second_call_stops_the_agents_too_and_they_go_on_later(
    project: Project, agent: Agent, dispatcher: Dispatcher, home: Path, settings: Settings
) -> None:
    settings.STOP_GRACE_S = 10
    task, _ = hanging(dispatcher, project)
    dispatcher.drain()
    dispatcher.drain()
    dispatcher.run()
    until(lambda: not living(home), "the runner to be gone")
    assert (run_of(task).status, run_of(task).owner, bool(run_of(task).session_id)) == (RunStatus.QUEUED, "", True)


# What goes wrong


def test_a_line_that_cannot_be_read_ends_its_run_only(
    project: Project, agent: Agent, dispatcher: Dispatcher, home: Path
) -> None:
    (bad, directory), (good, _) = hanging(dispatcher, project), hanging(dispatcher, project)
    with directory.events_path.open("ab") as stream:
        stream.write(b"This is no JSON.\n")
    tick_until(dispatcher, is_at(bad, TaskStatus.FAILED), "the end of the run")
    assert run_of(bad).error_code == "protocol"
    assert InboxItem.objects.get(item_type=ItemType.ALERT).run_id == run_of(bad).pk
    assert run_of(good).status == RunStatus.RUNNING
    assert living(home)


def test_a_bad_line_of_a_run_that_another_scheduler_has_is_that_ones(
    project: Project, agent: Agent, dispatcher: Dispatcher, home: Path
) -> None:
    task, directory = hanging(dispatcher, project)
    other = Dispatcher()
    TaskRun.objects.update(owner=other.actor.removeprefix("scheduler:"))
    with directory.events_path.open("ab") as stream:
        stream.write(b"This is no JSON.\n")
    dispatcher.tick()
    assert (run_of(task).status, bool(living(home))) == (RunStatus.RUNNING, True)
    assert Event.objects.filter(type=EventType.RUN_STALE_WRITE_REJECTED).count() == 1


def test_a_run_that_was_taken_over_is_let_go(project: Project, agent: Agent, dispatcher: Dispatcher) -> None:
    task, directory = hanging(dispatcher, project)
    other = Dispatcher()
    TaskRun.objects.update(lease_until=leases.now() - timedelta(seconds=1))
    assert other.recover()
    directory.send("cancel", {})
    tick_until(other, lambda: run_of(task).epoch == 2, "the next start of the run")
    dispatcher.tick()
    assert Event.objects.filter(type=EventType.RUN_STALE_WRITE_REJECTED, payload__action="supervise").exists()
    assert run_of(task).attempt == 1


@runs
def test_a_runner_that_cannot_be_started_is_tried_again(
    project: Project, agent: Agent, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_once(monkeypatch, OSError("No more processes."))
    task = play(project, "finish")
    dispatcher.run(once=True)
    assert is_at(task, TaskStatus.REVIEW)()
    assert TaskRun.objects.get(attempt=1).error_code == "crashed"


@runs
def test_an_error_of_ours_in_a_start_ends_that_run_only(
    project: Project, agent: Agent, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_once(monkeypatch, RuntimeError("A mistake."))
    bad, good = play(project, "finish"), play(project, "finish")
    dispatcher.run(once=True)
    assert (is_at(bad, TaskStatus.FAILED)(), is_at(good, TaskStatus.REVIEW)()) == (True, True)
    assert run_of(bad).error_message == "RuntimeError: A mistake."


def test_a_start_that_took_longer_than_its_lease_and_failed_is_not_ours_to_end(
    project: Project, agent: Agent, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_once(monkeypatch, OSError("?"), lambda: TaskRun.objects.update(owner="scheduler-two"))
    task = play(project, "finish")
    assert dispatcher.dispatch()
    assert (run_of(task).status, run_of(task).owner) == (RunStatus.RUNNING, "scheduler-two")
    assert Event.objects.filter(type=EventType.RUN_STALE_WRITE_REJECTED, payload__action="start").exists()


@runs
def test_a_start_that_the_database_has_cut_off_is_made_again(
    project: Project, agent: Agent, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_once(monkeypatch, OperationalError("server closed the connection unexpectedly"))
    first, second = play(project, "finish"), play(project, "finish")
    with pytest.raises(OperationalError):
        dispatcher.tick()
    # Both have shaken hands, and neither has a process.
    assert [(run_of(task).status, run_of(task).pid) for task in (first, second)] == [(RunStatus.RUNNING, None)] * 2
    dispatcher.run(once=True)
    assert [is_at(task, TaskStatus.REVIEW)() for task in (first, second)] == [True, True]
    assert [(run_of(task).attempt, run_of(task).epoch) for task in (first, second)] == [(1, 2), (1, 2)]


def failing_once(
    monkeypatch: pytest.MonkeyPatch, error: Exception, meanwhile: Callable[[], object] = lambda: None
) -> None:
    """Let the first process that is started fail to start."""
    launch, failed = local.launch, list[Exception]()

    def fail_once(*given: Any) -> int:
        if not failed:
            failed.append(error)
            meanwhile()
            raise error
        return launch(*given)

    monkeypatch.setattr(local, "launch", fail_once)


@runs
def test_a_scheduler_and_its_agents_outlive_the_database(
    project: Project,
    agent: Agent,
    dispatcher: Dispatcher,
    home: Path,
    settings: Settings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.TICK_S = 0.1
    task = play(project, f"run until test -e {tmp_path}/go; do sleep 0.05; done", "write a.txt x", "finish Done.")

    def cut_off() -> None:
        [start] = until(lambda: list((home / "runs").glob("*/start.json")), "the agent")
        with away():
            until(lambda: caplog.text.count("database_unavailable") > 2, "the scheduler to notice")
            (tmp_path / "go").touch()
            until(start.with_name("exit.json").exists, "the agent to end its work")

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(cut_off)
        dispatcher.run(once=True)
        done.result()
    assert (is_at(task, TaskStatus.REVIEW)(), run_of(task).epoch) == (True, 1)
    assert "database_unavailable" in caplog.text


@contextmanager
def away() -> Iterator[None]:
    """Let the database answer nobody."""
    if connection.vendor == "sqlite":
        name = connection.settings_dict["NAME"]
        connection.settings_dict["NAME"] = "/nowhere/beebeebrain.db"
        try:
            yield
        finally:
            connection.settings_dict["NAME"] = name
        return
    import psycopg
    from psycopg import sql

    given = connection.get_connection_params()
    place = {name: given[name] for name in ("host", "port", "user", "password") if name in given}
    name = sql.Identifier(given["dbname"])
    with psycopg.connect(**place, dbname="postgres", autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        try:
            # Hints come by a connection of their own, which is not what is tested here.
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = %s AND query NOT LIKE 'LISTEN%%'",
                [given["dbname"]],
            )
            yield
        finally:
            admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))


def test_a_killed_runner_is_noticed_and_its_run_queued_again(
    project: Project, agent: Agent, dispatcher: Dispatcher
) -> None:
    task, _ = hanging(dispatcher, project)
    kill_runner(run_of(task))
    tick_until(dispatcher, lambda: run_of(task).epoch == 2, "the next start")
    assert run_of(task).attempt == 1


# Several at once


def test_a_task_that_is_cancelled_while_another_is_started_is_not_started(
    project: Project, agent: Agent, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, second = play(project, "hang"), play(project, "hang")
    launch, launched = local.launch, list[str]()

    def launch_and_cancel(*given: Any) -> int:
        launched.append("one")
        commands.cancel_task(Task.objects.get(pk=second.pk), actor=ACTOR)
        return launch(*given)

    monkeypatch.setattr(local, "launch", launch_and_cancel)
    dispatcher.dispatch()
    assert (launched, is_at(second, TaskStatus.CANCELLED)()) == (["one"], True)


def test_a_run_that_was_superseded_before_its_end_takes_no_other_with_it(
    project: Project, agent: Agent, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [play(project, "finish") for _ in range(3)]
    dispatcher.dispatch()
    until(lambda: all(directory_of(run_of(task)).exit() for task in tasks), "the agents to finish")

    def lose_and_finish(*given: Any) -> bool:
        TaskRun.objects.filter(task=tasks[1]).update(owner="scheduler-two")
        return finish_together(*given)

    monkeypatch.setattr(supervision, "finish_together", lose_and_finish)
    dispatcher.supervise()
    assert [is_at(task, TaskStatus.REVIEW)() for task in tasks] == [True, False, True]
    stale = Event.objects.get(type=EventType.RUN_STALE_WRITE_REJECTED)
    assert (stale.task_id, stale.payload["action"]) == (tasks[1].pk, "supervise")
