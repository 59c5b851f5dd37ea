"""Two things at once, in the order in which they are most likely to go wrong: one is done, and not committed, when the other begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from django.db import IntegrityError

from events import services as events
from inbox import services as inbox
from inbox.exceptions import ItemClosed
from inbox.models import InboxItem
from inbox.states import ItemType
from orchestration.exceptions import DomainError
from orchestration.models import Project, Task
from orchestration.services.dependencies import add_dependency
from orchestration.services.locks import lock_tasks
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_project, make_task
from orchestration.tests.races import meanwhile, race, result
from runtime.models import TaskRun
from runtime.services import commands
from runtime.services.broadcasting import COMMANDS
from runtime.services.deletion import delete_task
from runtime.services.moves import write_fenced
from runtime.services.running import run_task
from runtime.states import RunStatus
from runtime.tests.crowd import outcome_of
from runtime.tests.hands import Hands
from runtime.tests.replay import disagreements

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]

T = TypeVar("T")
CLIENTS = 4


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = make_project(tmp_path / "repo")
    make_agent(project, max_parallel_runs=4)
    return project


@pytest.fixture
def hands(project: Project) -> Hands:
    return Hands("one", Path(project.root_path))


def while_open(change: Callable[[], object], act: Callable[[], T]) -> T:
    """Act while another transaction has made a change; that commits when the act waits for it, or is done."""
    with events.unit_of_work():
        change()
        acting = meanwhile(act)
    answer: T | DomainError = result(acting)
    if isinstance(answer, DomainError):
        raise answer
    return answer


def fresh(task: Task) -> Task:
    return Task.objects.get(pk=task.pk)


def in_review(task: Task, hands: Hands) -> Task:
    hands.finish(hands.begin(task), "finished")
    return fresh(task)


def test_a_cancel_during_a_claim_asks_the_process_to_stop(task: Task, hands: Hands) -> None:
    hands.finish(hands.begin(task), "interrupted")
    cancelled = while_open(lambda: hands.take(task), lambda: commands.cancel_task(fresh(task), actor=ACTOR))
    assert (cancelled.status, cancelled.cancel_requested_at is None) == (TaskStatus.RUNNING, False)
    assert disagreements() == []


def test_a_cancel_while_the_process_ends_is_carried_out_at_once(task: Task, hands: Hands) -> None:
    run = hands.begin(task)
    end = partial(hands.finish, run, "interrupted")
    cancelled = while_open(end, lambda: commands.cancel_task(fresh(task), actor=ACTOR))
    assert (cancelled.status, TaskRun.objects.get().status) == (TaskStatus.CANCELLED, RunStatus.CANCELLED)
    assert disagreements() == []


def test_a_cancel_during_a_promotion_is_carried_out(task: Task, hands: Hands) -> None:
    hands.finish(hands.begin(task), "failed", "overloaded")
    cancelled = while_open(hands.promote, lambda: commands.cancel_task(fresh(task), actor=ACTOR))
    assert cancelled.status == TaskStatus.CANCELLED
    assert disagreements() == []


def test_a_cancel_that_was_asked_for_before_a_start_that_never_came_is_carried_out(task: Task, hands: Hands) -> None:
    hands.take(task)
    commands.cancel_task(fresh(task), actor=ACTOR)
    hands.give_back()
    assert (fresh(task).status, TaskRun.objects.get().status) == (TaskStatus.CANCELLED, RunStatus.CANCELLED)
    assert disagreements() == []


def test_a_task_that_is_being_paused_is_not_claimed(task: Task, hands: Hands) -> None:
    claimed = while_open(lambda: commands.pause_task(fresh(task), actor=ACTOR), lambda: hands.claim(1))
    assert claimed == []
    assert fresh(task).is_held


def test_a_task_that_is_being_given_a_dependency_is_not_claimed(project: Project, task: Task, hands: Hands) -> None:
    parent = commands.pause_task(make_task(project), actor=ACTOR)
    claimed = while_open(lambda: add_dependency(task, depends_on=parent, actor=ACTOR), lambda: hands.claim(2))
    assert claimed == []
    assert disagreements() == []


def test_an_answer_during_the_adding_of_a_dependency_resumes_nothing(
    project: Project, task: Task, hands: Hands
) -> None:
    hands.finish(hands.begin(task), "blocked")
    inbox.close_item(InboxItem.objects.get(), actor=ACTOR, user_input="Blue")
    parent = make_task(project)
    depend = partial(add_dependency, fresh(task), depends_on=parent, actor=ACTOR)
    assert while_open(depend, hands.deliver) == 0
    assert disagreements() == []


def test_cancelling_a_run_that_ends_in_this_moment_leaves_its_work_in_review(task: Task, hands: Hands) -> None:
    run = hands.begin(task)
    stop = partial(commands.cancel_run, TaskRun.objects.select_related("task").get(), actor=ACTOR)
    assert while_open(partial(hands.finish, run, "finished"), lambda: outcome_of(stop)) == "refused"
    assert fresh(task).status == TaskStatus.REVIEW


def test_a_review_that_is_closed_during_a_cancel_is_refused_and_neither_waits_for_ever(
    task: Task, hands: Hands
) -> None:
    item = InboxItem.objects.get(task=in_review(task, hands), item_type=ItemType.TASK_COMPLETED)
    with events.unit_of_work():
        lock_tasks([task.pk])
        closing = meanwhile(partial(inbox.close_item, item, actor=ACTOR))
        commands.cancel_task(fresh(task), actor=ACTOR)
    assert isinstance(result(closing), ItemClosed)
    assert (fresh(task).status, fresh(task).approved_at) == (TaskStatus.CANCELLED, None)


def test_a_cancel_during_the_approval_comes_after_it(task: Task, hands: Hands) -> None:
    item = InboxItem.objects.get(task=in_review(task, hands), item_type=ItemType.TASK_COMPLETED)
    cancel = partial(commands.cancel_task, fresh(task), actor=ACTOR)
    assert while_open(partial(inbox.close_item, item, actor=ACTOR), lambda: outcome_of(cancel)) == "applied"
    assert disagreements() == []


def test_work_is_not_landed_in_the_name_of_an_earlier_approval(task: Task, hands: Hands) -> None:
    inbox.approve_task(in_review(task, hands), actor=ACTOR)

    def do_it_again() -> None:
        commands.cancel_task(fresh(task), actor=ACTOR)
        commands.retry_task(fresh(task), actor=ACTOR)
        in_review(task, hands)

    assert while_open(do_it_again, hands.land) == 0
    assert fresh(task).status == TaskStatus.REVIEW


def test_a_question_is_asked_once_by_two_who_ask_in_the_same_moment(task: Task) -> None:
    ask = partial(inbox.ask, ItemType.ALERT, task=task, title="Look", dedupe_key="look", actor=ACTOR)
    first, second = race(ask, ask)
    assert first == second
    while_open(partial(ask, dedupe_key="again"), partial(ask, dedupe_key="again"))
    assert InboxItem.objects.filter(dedupe_key="again").count() == 1
    assert disagreements() == []


_BEFORE: dict[str, Callable[[Task, Hands], object]] = {
    "run": lambda task, hands: None,
    "pause": lambda task, hands: None,
    "resume": lambda task, hands: commands.pause_task(task, actor=ACTOR),
    "retry": lambda task, hands: commands.cancel_task(task, actor=ACTOR),
    "cancel": lambda task, hands: hands.begin(task),
    "approve": in_review,
    "request-changes": in_review,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_of_clients_with_the_same_version_one_is_applied(task: Task, hands: Hands, command: str) -> None:
    _BEFORE[command](task, hands)
    version = fresh(task).version
    given = {"changes": "Blue"} if command == "request-changes" else {}
    rivals = [
        partial(COMMANDS[command], fresh(task), actor=ACTOR, expected_version=version, **given) for _ in range(CLIENTS)
    ]
    outcomes = Counter(race(*(partial(outcome_of, rival) for rival in rivals)))
    assert outcomes == {"applied": 1, "conflict": CLIENTS - 1}
    assert disagreements() == []


def test_the_same_key_runs_a_task_once_however_many_use_it(task: Task) -> None:
    rivals = [partial(run_task, fresh(task), actor=ACTOR, idempotency_key="key") for _ in range(CLIENTS)]
    assert set(race(*(partial(outcome_of, rival) for rival in rivals))) == {"applied"}
    assert TaskRun.objects.get().idempotency_key == f"task-{task.pk}:key"
    assert disagreements() == []


def test_of_clients_with_other_keys_one_runs_the_task(task: Task) -> None:
    rivals = [partial(run_task, fresh(task), actor=ACTOR, idempotency_key=str(key)) for key in range(CLIENTS)]
    outcomes = Counter(race(*(partial(outcome_of, rival) for rival in rivals)))
    assert outcomes == {"applied": 1, "refused": CLIENTS - 1}


def test_a_run_may_end_while_its_question_is_being_written(task: Task, hands: Hands) -> None:
    run = hands.begin(task)
    ask = partial(inbox.ask, ItemType.AWAIT_USER_INPUT, task=task, title="?", dedupe_key="?", run_id=run.pk)

    def carry_over() -> None:
        write_fenced(TaskRun.objects.get(), log_seq=1)
        ask(actor=ACTOR)

    while_open(carry_over, lambda: hands.finish(run, "finished"))
    assert fresh(task).status == TaskStatus.REVIEW


def test_what_refers_to_a_task_that_is_being_deleted_is_refused_and_neither_waits_for_ever(task: Task) -> None:
    ask = partial(inbox.ask, ItemType.ALERT, task=fresh(task), title="Look", dedupe_key="look", actor=ACTOR)
    with pytest.raises(IntegrityError):
        while_open(partial(delete_task, fresh(task), actor=ACTOR), ask)
    assert not Task.objects.exists()
