from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone
from pytest_django import Settings

from events.models import Event
from llm.models import Breaker
from orchestration.exceptions import InvalidTransition
from orchestration.models import Agent, Project, Task
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_task
from orchestration.tests.races import race
from runtime import retries
from runtime.models import TaskRun
from runtime.services import commands
from runtime.services.finishing import finish_run
from runtime.services.promoting import promote_due
from runtime.services.running import run_task
from runtime.states import RunStatus
from runtime.tests.factories import claim_all, ending
from runtime.tests.starts import begun, claimed

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def steps(settings: Settings) -> None:
    settings.RETRY_BASE_S, settings.RETRY_CAP_S = 10.0, 25.0


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=4)


@pytest.fixture
def run(project: Project, agent: Agent) -> TaskRun:
    return begun(make_task(project), agent)


def nth(run: TaskRun, number: int) -> TaskRun:
    """Return the attempt that follows so many failures."""
    for attempt in range(2, number + 1):
        TaskRun.objects.filter(pk=run.pk).update(status=RunStatus.FAILED, owner="", lease_until=None)
        run = TaskRun.objects.create(
            task=run.task,
            agent=run.agent,
            attempt=attempt,
            retry_of=run,
            idempotency_key=f"key-{attempt}",
            trace_id="t",
        )
    return run


def delays(run: TaskRun, **fields: object) -> list[float]:
    found = [retries.delay_s(run, ending("failed", **{"code": "overloaded", **fields})) for _ in range(300)]
    return [delay for delay in found if delay is not None]


@pytest.mark.breaks_invariants
@pytest.mark.parametrize(("attempt", "longest"), [(1, 10), (2, 20), (3, 25)])
def test_the_wait_is_anywhere_between_nothing_and_a_step_that_doubles_up_to_its_cap(
    run: TaskRun, attempt: int, longest: float
) -> None:
    Task.objects.update(max_attempts=9)
    run.task.refresh_from_db()
    waits = delays(nth(run, attempt))
    assert len(waits) == 300
    assert 0 <= min(waits) < 0.1 * longest
    assert 0.9 * longest < max(waits) <= longest


def test_it_is_never_shorter_than_the_provider_asked_for(run: TaskRun) -> None:
    assert min(delays(run, code="rate_limited", retry_after_s=7.0)) == 7.0
    assert set(delays(run, code="rate_limited", retry_after_s=500.0)) == {500.0}


@pytest.mark.breaks_invariants
def test_three_attempts_are_made_unless_the_task_says_otherwise(run: TaskRun) -> None:
    third = nth(run, 3)
    assert third.retry_of is not None
    assert delays(third.retry_of)
    assert not delays(third)


@pytest.mark.parametrize("code", sorted(retries.RETRYABLE))
def test_what_may_pass_is_tried_again(run: TaskRun, code: str) -> None:
    assert delays(run, code=code)


@pytest.mark.parametrize(
    "code",
    [
        "auth",
        "billing",
        "budget",
        "checks_failed",
        "client_missing",
        "crash_loop",
        "invalid_request",
        "max_turns",
        "model_not_found",
        "output_too_long",
        "permission",
        "protocol",
        "refused",
        "setup_failed",
        "",
    ],
)
def test_what_will_not_pass_is_not(run: TaskRun, code: str) -> None:
    assert not delays(run, code=code)


def due_again(run: TaskRun, agent: Agent) -> TaskRun:
    """Begin the attempt that is scheduled, whenever it is due, and whatever limit was met."""
    Breaker.objects.all().delete()
    TaskRun.objects.filter(status=RunStatus.RETRY_SCHEDULED).update(next_retry_at=timezone.now())
    promote_due(actor="scheduler")
    return begun(run.task, agent)


def before() -> QuerySet[TaskRun, Any]:
    """Return the run of the attempt before the one at hand."""
    return TaskRun.objects.filter(task=OuterRef("task"), attempt=OuterRef("attempt") - 1).values("pk")[:1]


def test_a_task_that_always_fails_ends_after_three_attempts(run: TaskRun, agent: Agent, settings: Settings) -> None:
    settings.RETRY_BASE_S = 0
    for _ in range(2):
        finish_run(run, ending("failed", code="network"))
        promote_due(actor="scheduler")
        run = begun(run.task, agent)
    finish_run(run, ending("failed", code="network"))
    assert Task.objects.get().status == TaskStatus.FAILED
    assert list(TaskRun.objects.order_by("attempt").values_list("attempt", "status")) == [
        (1, "failed"), (2, "failed"), (3, "failed"),
    ]  # fmt: skip


@pytest.mark.parametrize("code", sorted(retries.UNSPENT))
def test_limits_spend_no_attempt(run: TaskRun, agent: Agent, code: str) -> None:
    Task.objects.update(max_attempts=2)
    for _ in range(4):
        finish_run(run, ending("failed", code=code, retry_after_s=0.0))
        run = due_again(run, agent)
    assert (run.attempt, retries.attempts_spent(run)) == (5, 1)
    finish_run(run, ending("failed", code="network"))
    run = due_again(run, agent)
    finish_run(run, ending("failed", code="network"))
    assert Task.objects.get().status == TaskStatus.FAILED
    codes = list(TaskRun.objects.order_by("attempt").values_list("attempt", "error_code"))
    assert codes == [*((attempt, code) for attempt in range(1, 5)), (5, "network"), (6, "network")]


@pytest.mark.breaks_invariants
def test_wait_stays_within_its_cap_however_often_a_limit_was_met(run: TaskRun) -> None:
    rows = [
        TaskRun(
            task=run.task, agent=run.agent, attempt=number, idempotency_key=f"k{number}", trace_id="t", status="failed"
        )
        for number in range(2, 1200)
    ]
    TaskRun.objects.bulk_create(rows)
    TaskRun.objects.update(error_code="rate_limited", retry_of=Subquery(before()))
    assert max(delays(TaskRun.objects.get(attempt=1199), code="rate_limited")) <= 25


@pytest.mark.parametrize("asked_s", [float("inf"), 1e12, 8 * 24 * 3600.0])
def test_no_provider_is_taken_at_its_word_for_longer_than_a_week(run: TaskRun, asked_s: float) -> None:
    finish_run(run, ending("failed", code="usage_limited", retry_after_s=asked_s))
    waiting = TaskRun.objects.get(status=RunStatus.RETRY_SCHEDULED)
    assert waiting.next_retry_at is not None
    assert timedelta(days=6, hours=23) < waiting.next_retry_at - timezone.now() <= timedelta(days=7)


@pytest.mark.parametrize("asked_s", [-5.0, float("nan")])
def test_wait_that_means_nothing_is_none(run: TaskRun, asked_s: float) -> None:
    assert max(delays(run, code="rate_limited", retry_after_s=asked_s)) <= 10


@pytest.mark.parametrize("code", ["context_overflow", "session_lost"])
def test_poisoned_session_is_not_resumed_by_the_next_attempt(run: TaskRun, agent: Agent, code: str) -> None:
    TaskRun.objects.update(workspace="/somewhere", branch="bbb/it")
    run.refresh_from_db()
    finish_run(run, ending("failed", code=code, session_id="poisoned"))
    following = TaskRun.objects.get(status=RunStatus.RETRY_SCHEDULED)
    assert (following.session_id, following.workspace, following.branch) == ("", "/somewhere", "bbb/it")


@pytest.mark.parametrize("code", ["invalid_request", "refused", "crash_loop"])
def test_poisoned_session_is_not_resumed_by_a_persons_retry(run: TaskRun, agent: Agent, code: str) -> None:
    finish_run(run, ending("failed", code=code, session_id="poisoned"))
    commands.retry_task(Task.objects.get(), actor=ACTOR)
    assert claimed(run.task, agent).session_id == ""


@pytest.mark.parametrize("code", ["overloaded", "usage_limited", "crashed", "timeout"])
def test_good_session_goes_on(run: TaskRun, code: str) -> None:
    finish_run(run, ending("failed", code=code, session_id="good"))
    assert TaskRun.objects.get(status=RunStatus.RETRY_SCHEDULED).session_id == "good"


@pytest.mark.breaks_invariants
def test_a_persons_retry_begins_a_new_row(run: TaskRun, agent: Agent) -> None:
    last = nth(run, 3)
    assert retries.failures_in_a_row(last) == 3
    Task.objects.update(status=TaskStatus.FAILED)
    TaskRun.objects.filter(pk=last.pk).update(status=RunStatus.FAILED, owner="", lease_until=None)
    commands.retry_task(Task.objects.get(), actor=ACTOR)
    assert retries.failures_in_a_row(claimed(run.task, agent)) == 1


def died(run: TaskRun, agent: Agent, *, times: int) -> TaskRun:
    """Let the runner of a run die so often, and start it once more."""
    for _ in range(times):
        finish_run(run, ending("interrupted", code="process_gone"))
        run = begun(run.task, agent)
    return run


def test_the_fifth_death_is_one_too_many(run: TaskRun, agent: Agent) -> None:
    run = died(run, agent, times=3)
    assert not retries.is_crash_loop(run)
    assert retries.is_crash_loop(died(run, agent, times=1))


def test_deaths_of_long_ago_do_not_count(run: TaskRun, agent: Agent) -> None:
    run = died(run, agent, times=4)
    Event.objects.update(at=timezone.now() - retries.CRASH_WINDOW - timedelta(seconds=1))
    assert not retries.is_crash_loop(run)


def test_deaths_of_another_run_do_not_count(run: TaskRun, agent: Agent, project: Project) -> None:
    died(run, agent, times=4)
    other = make_agent(project)
    assert not retries.is_crash_loop(begun(make_task(project), other))


@pytest.fixture
def waiting(run: TaskRun, settings: Settings) -> TaskRun:
    """The attempt that waits for its time, an hour from now."""
    finish_run(run, ending("failed", code="overloaded", retry_after_s=3600.0))
    return TaskRun.objects.get(status=RunStatus.RETRY_SCHEDULED)


COMMANDS = [commands.retry_task, run_task]


@pytest.mark.parametrize("command", COMMANDS)
def test_person_beats_a_scheduled_retry(waiting: TaskRun, command: Callable[..., Task]) -> None:
    command(Task.objects.get(), actor=ACTOR)
    [begun_] = claim_all()
    assert (begun_.pk, begun_.attempt, begun_.next_retry_at) == (waiting.pk, 2, None)
    assert TaskRun.objects.count() == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_person_does_so_once(waiting: TaskRun, command: Callable[..., Task]) -> None:
    command(Task.objects.get(), actor=ACTOR)
    with pytest.raises(InvalidTransition):
        command(Task.objects.get(), actor=ACTOR)
    assert TaskRun.objects.active().count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("command", COMMANDS)
def test_person_and_clock_at_once_make_one_run(waiting: TaskRun, command: Callable[..., Task]) -> None:
    TaskRun.objects.filter(pk=waiting.pk).update(next_retry_at=timezone.now())
    race(lambda: command(Task.objects.get(), actor=ACTOR), lambda: promote_due(actor="scheduler"))
    assert [run.pk for run in claim_all()] == [waiting.pk]
    assert TaskRun.objects.count() == 2


def test_command_sent_twice_with_its_key_finds_the_same_run(waiting: TaskRun) -> None:
    for _ in range(2):
        run_task(Task.objects.get(), actor=ACTOR, idempotency_key="once")
    assert TaskRun.objects.get(status=RunStatus.QUEUED).pk == waiting.pk


def test_person_may_give_it_to_another_agent(waiting: TaskRun, project: Project) -> None:
    other = make_agent(project, name="Other")
    run_task(Task.objects.get(), actor=ACTOR, agent=other)
    [run] = claim_all()
    assert (run.agent_id, run.attempt, run.session_id) == (other.pk, 3, "")
    waiting.refresh_from_db()
    assert waiting.status == RunStatus.CANCELLED
