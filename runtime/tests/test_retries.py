from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import Settings

from events.models import Event
from orchestration.models import Agent, Project, Task
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_project, make_task
from runtime import retries
from runtime.models import TaskRun
from runtime.services import commands
from runtime.services.finishing import finish_run
from runtime.services.promoting import promote_due
from runtime.states import RunStatus
from runtime.tests.factories import ending
from runtime.tests.starts import begun, claimed

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def steps(settings: Settings) -> None:
    settings.RETRY_BASE_S, settings.RETRY_CAP_S = 10, 25


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo")


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=4)


@pytest.fixture
def run(project: Project, agent: Agent) -> TaskRun:
    return begun(make_task(project), agent)


def nth(run: TaskRun, number: int) -> TaskRun:
    """Return the attempt that follows so many failures."""
    for attempt in range(2, number + 1):
        TaskRun.objects.filter(pk=run.pk).update(status=RunStatus.FAILED)
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
    ["auth", "invalid_request", "budget", "permission", "checks_failed", "setup_failed", "protocol", "crash_loop", ""],
)
def test_what_will_not_pass_is_not(run: TaskRun, code: str) -> None:
    assert not delays(run, code=code)


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


@pytest.mark.breaks_invariants
def test_a_persons_retry_begins_a_new_row(run: TaskRun, agent: Agent) -> None:
    last = nth(run, 3)
    assert retries.failures_in_a_row(last) == 3
    Task.objects.update(status=TaskStatus.FAILED)
    TaskRun.objects.filter(pk=last.pk).update(status=RunStatus.FAILED)
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
