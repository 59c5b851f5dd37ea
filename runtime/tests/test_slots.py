from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection, transaction
from pytest_django import Settings

from orchestration.models import Agent, Project
from orchestration.scheduler import plan
from orchestration.services.agents import update_agent
from orchestration.services.projects import update_project
from orchestration.tests.factories import ACTOR, make_agent, make_task
from runtime import planning, slots
from runtime.models import Slot, TaskRun
from runtime.services.finishing import finish_run
from runtime.tests.factories import claim_all, ending
from runtime.tests.halves import claim
from runtime.tests.starts import begun

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=4)


def running() -> dict[str, int]:
    return dict(Slot.objects.values_list("key", "running"))


def held_by_runs() -> dict[str, int]:
    """Return what the slots have to say, counted from the runs themselves."""
    runs = TaskRun.objects.holding_slots().select_related("task")
    return dict(Counter(key for run in runs for key in slots.keys(run.task.project_id, run.agent_id)))


def test_slots_are_made_with_their_caps(project: Project, agent: Agent, settings: Settings) -> None:
    settings.MAX_PARALLEL_RUNS = 7
    with transaction.atomic():
        slots.lock(slots.caps(project, agent))
    expected = {slots.GLOBAL: 7, slots.project_key(project.pk): 4, slots.agent_key(agent.pk): 4}
    assert dict(Slot.objects.values_list("key", "cap")) == expected


@pytest.mark.breaks_invariants
def test_all_of_the_slots_are_taken_or_none() -> None:
    with transaction.atomic():
        locked = slots.lock({"a": 1, "b": 0})
        assert not slots.take(locked, ["a", "b"])
        assert slots.take(locked, ["a"])
        slots.store(Counter(["a"]))
    assert running() == {"a": 1, "b": 0}


@pytest.mark.breaks_invariants
def test_a_slot_is_full_within_the_transaction_that_filled_it() -> None:
    with transaction.atomic():
        locked = slots.lock({"a": 1})
        assert slots.take(locked, ["a"])
        assert not slots.take(locked, ["a"])
        slots.store(Counter(["a"]))
    assert running() == {"a": 1}


@pytest.mark.breaks_invariants
def test_what_is_given_back_can_be_taken_again() -> None:
    with transaction.atomic():
        locked = slots.lock({"a": 1, "b": 2})
        slots.take(locked, ["a", "b"])
        slots.store(Counter(["a", "b"]))
        slots.give_back(["a"])
    assert running() == {"a": 0, "b": 1}


def test_a_cap_below_what_runs_is_legal_and_lets_nothing_start(project: Project, agent: Agent) -> None:
    for _ in range(3):
        make_task(project)
    assert len(claim_all()) == 3
    make_task(project)
    update_agent(agent, actor=ACTOR, max_parallel_runs=1)
    assert claim_all() == []
    assert running()[slots.agent_key(agent.pk)] == 3


def test_a_slot_that_was_never_taken_cannot_be_given_back() -> None:
    with transaction.atomic():
        slots.lock({"a": 1})
    with pytest.raises(IntegrityError), transaction.atomic():
        slots.give_back(["a"])


@pytest.mark.parametrize("outcome", ["finished", "blocked", "parked", "interrupted", "cancelled", "failed"])
def test_slots_count_the_runs_that_hold_them_whatever_becomes_of_one(
    project: Project, agent: Agent, outcome: str
) -> None:
    run = begun(make_task(project), agent)
    make_task(project)
    claim_all()
    finish_run(run, ending(outcome, code="overloaded" if outcome == "failed" else ""))
    assert held_by_runs() == running() == dict.fromkeys(running(), 1)


@pytest.mark.django_db(transaction=True)
def test_racing_claims_never_exceed_a_cap(project: Project, agent: Agent) -> None:
    update_project(project, actor=ACTOR, max_parallel_runs=3)
    for _ in range(8):
        make_task(project)
    ready = threading.Barrier(4, timeout=60)

    def race(owner: str) -> list[TaskRun]:
        try:
            room = planning.room()
            chosen = plan(planning.candidates(room), room).start
            ready.wait()  # all of them have planned on the same, empty slots
            return claim(chosen, owner=owner)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        claimed = [run for runs in pool.map(race, ["one", "two", "three", "four"]) for run in runs]
    assert len(claimed) == 3
    assert running() == held_by_runs() == {slots.GLOBAL: 3, f"project:{project.pk}": 3, f"agent:{agent.pk}": 3}
