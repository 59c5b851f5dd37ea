from __future__ import annotations

from decimal import Decimal

import pytest
from django.utils import timezone

from inbox import services as inbox
from inbox.models import InboxItem
from inbox.states import ItemType
from llm.models import UsageDaily
from orchestration.models import Agent, Project, Task
from orchestration.services.projects import update_project
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_task
from runtime.exceptions import NothingToResume, StaleRun
from runtime.models import Slot, TaskRun
from runtime.services import commands
from runtime.services.finishing import finish_run
from runtime.services.moves import move_run
from runtime.states import RunStatus
from runtime.tests.factories import claim_all, ending, running

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(task: Task, agent: Agent) -> TaskRun:
    return running(task, agent)


def states(run: TaskRun) -> tuple[str, str]:
    fresh = TaskRun.objects.select_related("task").get(pk=run.pk)
    return fresh.status, fresh.task.status


def test_finished_work_goes_to_review_and_into_the_inbox(run: TaskRun) -> None:
    finish_run(run, ending("finished", message="Wrote it."), head_commit="abc")
    assert states(run) == (RunStatus.SUCCEEDED, TaskStatus.REVIEW)
    assert InboxItem.objects.get(item_type=ItemType.TASK_COMPLETED).content == "Wrote it."


def test_automatic_approval_asks_nobody(run: TaskRun, project: Project) -> None:
    update_project(project, actor=ACTOR, auto_approve=True)
    finish_run(run, ending("finished"))
    run.task.refresh_from_db()
    assert run.task.approved_at is not None
    assert not InboxItem.objects.exists()


def test_work_without_a_report_is_never_approved_automatically(run: TaskRun, project: Project) -> None:
    update_project(project, actor=ACTOR, auto_approve=True)
    finish_run(run, ending("unreported"))
    assert "without a report" in InboxItem.objects.get().content


def test_usage_is_settled_once(run: TaskRun) -> None:
    finish_run(run, ending("finished"))
    with pytest.raises(StaleRun):
        finish_run(run, ending("finished"))
    run.refresh_from_db()
    ledger = UsageDaily.objects.get()
    assert (run.token_in, run.cost_usd, run.turns) == (100, Decimal("0.01"), 2)
    assert (ledger.token_in, ledger.cost_usd, ledger.run_count) == (100, Decimal("0.01"), 1)


def test_slots_are_free_after_every_outcome(run: TaskRun) -> None:
    finish_run(run, ending("failed", code="auth"))
    assert set(Slot.objects.values_list("running", flat=True)) == {0}


def test_an_older_epoch_finishes_nothing(run: TaskRun) -> None:
    TaskRun.objects.filter(pk=run.pk).update(epoch=2)
    with pytest.raises(StaleRun):
        finish_run(run, ending("finished"))
    assert states(run) == (RunStatus.RUNNING, TaskStatus.RUNNING)


def test_an_older_epoch_blocks_nothing(run: TaskRun) -> None:
    TaskRun.objects.filter(pk=run.pk).update(epoch=2)
    with pytest.raises(StaleRun):
        finish_run(run, ending("blocked"))
    assert states(run) == (RunStatus.RUNNING, TaskStatus.RUNNING)


def test_another_owner_blocks_nothing(run: TaskRun) -> None:
    TaskRun.objects.filter(pk=run.pk).update(owner="scheduler-two")
    with pytest.raises(StaleRun):
        finish_run(run, ending("blocked"))
    assert not UsageDaily.objects.exists()


def test_another_owner_finishes_nothing(run: TaskRun) -> None:
    TaskRun.objects.filter(pk=run.pk).update(owner="scheduler-two")
    with pytest.raises(StaleRun):
        finish_run(run, ending("finished"))
    assert not UsageDaily.objects.exists()


def test_a_retryable_failure_schedules_the_next_attempt(run: TaskRun) -> None:
    finish_run(run, ending("failed", code="overloaded"))
    following = TaskRun.objects.get(attempt=2)
    assert states(run) == (RunStatus.FAILED, TaskStatus.RUNNING)
    assert (following.status, following.retry_of, following.session_id) == (
        RunStatus.RETRY_SCHEDULED,
        run,
        "session-1",
    )
    assert following.next_retry_at is not None


def test_retry_after_is_honoured(run: TaskRun) -> None:
    finish_run(run, ending("failed", code="rate_limited", retry_after_s=500.0))
    following = TaskRun.objects.get(attempt=2)
    assert following.next_retry_at is not None
    assert (following.next_retry_at - timezone.now()).total_seconds() > 490


def test_attempts_are_bounded(task: Task, agent: Agent) -> None:
    Task.objects.filter(pk=task.pk).update(max_attempts=1)
    run = running(task, agent)
    finish_run(run, ending("failed", code="overloaded"))
    assert states(run) == (RunStatus.FAILED, TaskStatus.FAILED)


def test_a_fatal_failure_goes_to_the_inbox(run: TaskRun) -> None:
    finish_run(run, ending("failed", code="auth", message="Invalid key."))
    assert states(run) == (RunStatus.FAILED, TaskStatus.FAILED)
    assert InboxItem.objects.get().content == "auth: Invalid key."


def test_dependents_of_a_failed_task_are_named(run: TaskRun, project: Project) -> None:
    make_task(project, depends_on=[run.task])
    finish_run(run, ending("failed", code="auth"))
    assert InboxItem.objects.filter(dedupe_key=f"dependents:{run.task_id}").exists()


def test_a_cancel_is_honoured_whatever_the_outcome(run: TaskRun) -> None:
    commands.cancel_task(run.task, actor=ACTOR)
    finish_run(run, ending("finished"))
    assert states(run) == (RunStatus.CANCELLED, TaskStatus.CANCELLED)


def test_a_paused_run_waits_with_its_session(run: TaskRun) -> None:
    commands.pause_task(run.task, actor=ACTOR)
    finish_run(run, ending("interrupted"))
    assert states(run) == (RunStatus.INTERRUPTED, TaskStatus.BLOCKED)
    assert set(Slot.objects.values_list("running", flat=True)) == {0}


def test_resume_continues_the_same_run_with_the_next_epoch(run: TaskRun) -> None:
    commands.pause_task(run.task, actor=ACTOR)
    finish_run(run, ending("interrupted"))
    commands.resume_task(Task.objects.get(), actor=ACTOR)
    assert states(run) == (RunStatus.QUEUED, TaskStatus.RUNNING)
    [again] = claim_all()
    assert (again.pk, again.epoch, again.session_id) == (run.pk, 2, "session-1")


def test_a_killed_runner_is_queued_again(run: TaskRun) -> None:
    finish_run(run, ending("interrupted", code="process_gone"))
    assert states(run) == (RunStatus.QUEUED, TaskStatus.RUNNING)


def test_the_fifth_death_in_a_row_stops_and_asks(run: TaskRun) -> None:
    for _ in range(4):
        finish_run(run, ending("interrupted", code="process_gone"))
        [claimed] = claim_all()
        run = move_run(claimed, RunStatus.RUNNING, actor="scheduler", fence=True)
    finish_run(run, ending("interrupted", code="process_gone"))
    assert states(run) == (RunStatus.FAILED, TaskStatus.FAILED)
    assert "crash_loop" in InboxItem.objects.get(item_type=ItemType.ALERT).content


def test_a_blocked_agent_asks_and_keeps_its_session(run: TaskRun) -> None:
    finish_run(run, ending("blocked", message="Which port?"))
    assert states(run) == (RunStatus.INTERRUPTED, TaskStatus.BLOCKED)
    assert InboxItem.objects.get().content == "Which port?"


def test_an_answer_in_the_moment_of_parking_is_not_lost(run: TaskRun) -> None:
    item = inbox.ask(
        ItemType.AWAIT_USER_INPUT, task=run.task, title="?", dedupe_key=f"ask:{run.pk}:7", actor="agent", run_id=run.pk
    )
    inbox.close_item(item, actor=ACTOR, user_input="Blue")
    finish_run(run, ending("parked", message="7"))
    assert states(run) == (RunStatus.QUEUED, TaskStatus.RUNNING)
    assert TaskRun.objects.get().prompt == "Blue"


def test_resuming_what_never_began_is_refused(task: Task) -> None:
    with pytest.raises(NothingToResume):
        commands.resume_task(task, actor=ACTOR)


def test_retry_of_a_failed_task_begins_a_new_row_of_attempts(run: TaskRun) -> None:
    finish_run(run, ending("failed", code="auth"))
    commands.retry_task(Task.objects.get(), actor=ACTOR)
    [again] = claim_all()
    assert (again.attempt, again.retry_of) == (2, None)
