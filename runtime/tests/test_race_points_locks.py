"""What the order of locks, the slots and the event log rely on, held at the point where it would go wrong."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from django.db import connection, transaction

from events import wakeup
from events.models import Event
from orchestration.models import Agent, Project
from orchestration.scheduler import Choice
from orchestration.services.agents import update_agent
from orchestration.services.locks import lock_tasks
from orchestration.services.tasks import update_task
from orchestration.tests.factories import ACTOR, make_agent, make_task
from orchestration.tests.races import meanwhile, result
from runtime import slots
from runtime.models import Slot
from runtime.services import claims
from runtime.tests.halves import claim
from runtime.tests.hands import Hands
from runtime.tests.points import Point

pytestmark = pytest.mark.django_db(transaction=True)

OTHER = "two"


@pytest.fixture(autouse=True)
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=4)


@pytest.fixture
def hands(project: Project) -> Hands:
    return Hands("one", Path(project.root_path))


def test_whoever_locks_several_tasks_begins_with_the_lowest_id(project: Project) -> None:
    low, high = make_task(project), make_task(project)

    def lock_both() -> None:
        with transaction.atomic():
            lock_tasks([high.pk, low.pk])

    with transaction.atomic():
        lock_tasks([low.pk])
        other = meanwhile(lock_both)
        # The other one waits for the first and holds nothing; else each would wait for the other now.
        lock_tasks([high.pk])
    assert result(other) is None


def test_whoever_locks_several_slots_begins_with_the_first_key() -> None:
    caps = {"a": 1, "b": 1}

    def lock_both() -> None:
        with transaction.atomic():
            slots.lock({"b": 1, "a": 1})

    with transaction.atomic():
        slots.lock(caps)
    with transaction.atomic():
        slots.lock({"a": 1})
        other = meanwhile(lock_both)
        slots.lock({"b": 1})
    assert result(other) is None


def test_the_last_slot_is_given_once_though_both_want_it(
    project: Project, agent: Agent, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slots' rows are there already and as they should be: nobody who comes writes to them before it has looked."""
    update_agent(agent, actor=ACTOR, max_parallel_runs=1)
    hands.finish(hands.begin(make_task(project)), "finished")
    first, second = (partial(claim, [Choice(make_task(project).pk, agent.pk, None)]) for _ in range(2))
    behind_the_lock = Point(monkeypatch, claims, "lock_tasks", is_open=True)
    claimed, late = behind_the_lock.hold(partial(first, owner="one"), partial(second, owner=OTHER))
    assert (len(claimed), late) == (1, [])
    assert Slot.objects.get(key=slots.agent_key(agent.pk)).running == 1


def test_an_event_is_not_overtaken_between_its_id_and_its_commit(project: Project) -> None:
    first, second = make_task(project), make_task(project)
    with transaction.atomic():
        update_task(first, actor=ACTOR, title="New")  # its event is written, its commit is still to come
        other = meanwhile(lambda: update_task(second, actor=ACTOR, title="New"))
        assert not other.done()
    result(other)
    assert [event.task_id for event in Event.objects.order_by("-id")[:2]] == [second.pk, first.pk]


def test_a_hint_comes_behind_the_commit_and_none_for_what_is_undone(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the transaction a NOTIFY would let all commits of the cluster wait for each other."""
    is_open: list[bool] = []
    monkeypatch.setattr(wakeup, "hint", lambda: is_open.append(connection.in_atomic_block))
    task = make_task(project)
    assert is_open == [False]
    with transaction.atomic():
        update_task(task, actor=ACTOR, title="Never")
        transaction.set_rollback(True)
    assert is_open == [False]
