"""Any sequence of commands, of a scheduler's steps and of its loss: what is accepted is what the model says, log and tables agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from pytest_django import Settings

from inbox import services as inbox
from inbox.models import InboxItem
from inbox.states import ItemType
from orchestration.exceptions import Conflict, Invalid
from orchestration.models import Project, Task, TaskDependency
from orchestration.services.dependencies import add_dependency, remove_dependency
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_project, make_task
from runtime import agenda
from runtime.invariants import differences, held_slots
from runtime.models import Slot, TaskRun
from runtime.services.broadcasting import COMMANDS
from runtime.states import RunStatus
from runtime.tests.crowd import outcome_of
from runtime.tests.hands import ENDINGS, Hands
from runtime.tests.replay import History, TaskState, read_on, untold
from runtime.tests.starts import own_home

pytestmark = pytest.mark.django_db

_S = TaskStatus


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What beside its own state decides what may be done to a task."""

    has_process: bool
    """A scheduler has claimed its run."""
    has_session: bool
    """Its run is interrupted and can go on."""
    has_retry: bool
    """Its next attempt waits for its time."""
    has_unmet: bool


def after(command: str, task: TaskState, met: Circumstances) -> TaskState | None:
    """Return where a command leads by the rules of the product, or None where it is refused."""
    is_in_review = task.status == _S.REVIEW and not task.is_approved
    is_over = task.status in {_S.FAILED, _S.BLOCKED, _S.CANCELLED}
    rules: dict[str, tuple[bool, TaskState]] = {
        "pause": (task.status in {_S.TODO, _S.RUNNING}, replace(task, is_held=True)),
        "resume": (
            task.is_held or (task.status == _S.BLOCKED and met.has_session and not met.has_unmet),
            replace(task, is_held=False) if task.is_held else TaskState(_S.RUNNING),
        ),
        "retry": (is_over or met.has_retry, replace(task, is_held=False) if met.has_retry else TaskState(_S.TODO)),
        "cancel": (
            task.status != _S.DONE,
            replace(task, is_cancel_requested=True) if met.has_process else TaskState(_S.CANCELLED),
        ),
        "approve": (is_in_review, replace(task, is_approved=True)),
        "request-changes": (is_in_review, TaskState(_S.TODO)),
        "run": (
            (is_over or met.has_retry or task.status == _S.TODO) and not met.has_unmet,
            TaskState(_S.RUNNING),
        ),
    }
    is_accepted, state = rules[command]
    return state if is_accepted else None


@pytest.fixture
def project(settings: Settings, tmp_path: Path) -> Iterator[Project]:
    with own_home(settings, tmp_path):
        project = make_project(tmp_path / "repo", max_parallel_runs=3)
        make_agent(project, max_parallel_runs=2)
        make_agent(project, max_parallel_runs=2)
        yield project


class Interventions(RuleBasedStateMachine):
    """A project with tasks, a person, and a scheduler that another one relieves. What happened is read from the event log alone."""

    tasks = Bundle("tasks")

    project: Project
    cast: ClassVar[list[int]]

    def __init__(self) -> None:
        super().__init__()
        self._atomic = transaction.atomic()
        self._atomic.__enter__()
        self.hands, self.successor = (Hands(name, Path(self.project.root_path)) for name in ("one", "two"))
        self.history = History()

    def teardown(self) -> None:
        try:
            assert list(map(str, differences())) == []
        finally:
            transaction.set_rollback(True)
            self._atomic.__exit__(None, None, None)

    @initialize(target=tasks)
    def begin_in_the_middle(self) -> MultipleResults[int]:
        return multiple(*self.cast)

    @rule(target=tasks, parent=st.none() | tasks)
    def create(self, parent: int | None) -> int:
        return make_task(self.project, depends_on=Task.objects.filter(pk=parent or 0)).pk

    @rule(child=tasks, parent=tasks, is_added=st.booleans())
    def change_the_graph(self, child: int, parent: int, is_added: bool) -> None:
        if is_added:
            with suppress(Conflict, Invalid):  # a cycle, or it has begun
                add_dependency(Task.objects.get(pk=child), depends_on=Task.objects.get(pk=parent), actor=ACTOR)
        for dependency in TaskDependency.objects.filter(task=child)[: 0 if is_added else 1]:
            remove_dependency(dependency, actor=ACTOR)

    @rule(limit=st.integers(1, 3), is_started=st.booleans())
    def claim(self, limit: int, is_started: bool) -> None:
        found, claimed = agenda.look(self.hands.owner), self.hands.claim(limit)
        assert found.dispatch or not claimed
        for run in claimed:
            if is_started:
                self.hands.start(run)

    @rule(chance=st.randoms(use_true_random=False))
    def start(self, chance: Random) -> None:
        self.hands.start(self.hands.pick(RunStatus.QUEUED, chance))

    @rule(chance=st.randoms(use_true_random=False), ending=st.sampled_from(ENDINGS))
    def finish(self, chance: Random, ending: tuple[str, str]) -> None:
        """Let a run end; if none is running, one that can be started."""
        if not self.hands.runs(RunStatus.RUNNING):
            self.claim(limit=1, is_started=True)
            self.start(chance)
        self.hands.finish(self.hands.pick(RunStatus.RUNNING, chance), *ending)

    @rule(chore=st.sampled_from(["promote", "give_back", "deliver", "land"]))
    def do_a_chore(self, chore: str) -> None:
        found = agenda.look(self.hands.owner)._asdict()
        done = getattr(self.hands, chore)()
        assert found.get(chore, True) or not done

    @rule()
    def lose_the_scheduler(self) -> None:
        """Let it stall beyond its leases, another take over, and itself go on, too late for everything."""
        late = {status: self.hands.runs(status) for status in (RunStatus.QUEUED, RunStatus.RUNNING)}
        self.successor.take_over_from(self.hands.owner)
        assert not TaskRun.objects.holding_slots().exists()
        read_on(self.history)
        before = (dict(self.history.tasks), dict(self.history.runs))
        for run in late[RunStatus.QUEUED]:
            self.hands.start(run)
        for run in late[RunStatus.RUNNING]:
            self.hands.finish(run, "finished")
        read_on(self.history)
        assert (self.history.tasks, self.history.runs) == before

    @rule(task=tasks)
    def answer(self, task: int) -> None:
        item = InboxItem.objects.open().filter(task=task, item_type=ItemType.AWAIT_USER_INPUT).first()
        if item is not None:
            inbox.close_item(item, actor=ACTOR, user_input="Blue")

    # One rule a command: so often is each of them tried.

    @rule(task=tasks)
    def pause(self, task: int) -> None:
        self._command(task, "pause")

    @rule(task=tasks)
    def resume(self, task: int) -> None:
        self._command(task, "resume")

    @rule(task=tasks)
    def retry(self, task: int) -> None:
        self._command(task, "retry")

    @rule(task=tasks)
    def cancel(self, task: int) -> None:
        self._command(task, "cancel")

    @rule(task=tasks, verdict=st.sampled_from(["approve", "request-changes"]))
    def review(self, task: int, verdict: str) -> None:
        self._command(task, verdict)

    @rule(task=tasks)
    def run(self, task: int) -> None:
        self._command(task, "run")

    @rule(task=tasks, key=st.sampled_from(["one", "two"]))
    def run_with_key(self, task: int, key: str) -> None:
        runs = Task.objects.get(pk=task).runs
        is_known = runs.filter(idempotency_key=f"task-{task}:{key}").exists()
        before = self._told(task)
        if is_known:
            assert self._give(task, "run", idempotency_key=key) == "applied"
            assert self._told(task) == before
        else:
            self._command(task, "run", idempotency_key=key)

    @rule(task=tasks, command=st.sampled_from(sorted(COMMANDS)))
    def command_with_a_version_of_the_past(self, task: int, command: str) -> None:
        version, before = Task.objects.get(pk=task).version, self._told(task)
        assert self._give(task, command, expected_version=version - 1) == "conflict"
        assert self._told(task) == before

    @invariant()
    def log_and_tables_agree(self) -> None:
        assert untold(self.history) == []

    @invariant()
    def slots_count_what_holds_them_and_no_cap_is_exceeded(self) -> None:
        slots = {slot.key: slot for slot in Slot.objects.all()}
        held = held_slots()
        assert {key: slot.running for key, slot in slots.items() if slot.running} == dict(held)
        assert [key for key, count in held.items() if count > slots[key].cap] == []

    @invariant()
    def every_task_knows_how_many_it_waits_for(self) -> None:
        """By the log: so many of its parents are not done."""
        edges = TaskDependency.objects.values_list("task_id", "depends_on_id")
        told = read_on(self.history).tasks
        unmet = Counter(child for child, parent in edges if told[parent].status != _S.DONE)
        counted = Task.objects.filter(unmet_dependencies__gt=0).values_list("pk", "unmet_dependencies")
        assert dict(counted) == dict(unmet)

    def _command(self, task: int, command: str, **given: Any) -> None:
        """Give a command; the past that the log tells says whether it is accepted, and where it leads."""
        before = self._told(task)
        expected = after(command, before, self._circumstances(task))
        outcome = self._give(task, command, **given)
        assert outcome == ("refused" if expected is None else "applied"), f"{command} of {before}"
        assert self._told(task) == (expected or before)

    def _give(self, task: int, command: str, **given: Any) -> str:
        extra = {"changes": "Blue"} if command == "request-changes" else {}
        return outcome_of(lambda: COMMANDS[command](Task.objects.get(pk=task), actor=ACTOR, **extra, **given))

    def _told(self, task: int) -> TaskState:
        return read_on(self.history).tasks[task]

    def _circumstances(self, task: int) -> Circumstances:
        """Say what a command meets; of a claim that begins nothing yet the log does not tell."""
        parents = TaskDependency.objects.filter(task=task).values_list("depends_on_id", flat=True)
        runs = [run for run in self.history.runs.values() if run.task_id == task]
        return Circumstances(
            has_process=TaskRun.objects.holding_slots().filter(task=task).exists(),
            has_session=any(run.status == RunStatus.INTERRUPTED for run in runs),
            has_retry=any(run.status == RunStatus.RETRY_SCHEDULED for run in runs),
            has_unmet=any(self._told(parent).status != _S.DONE for parent in parents),
        )


def profile(**chosen: Any) -> settings:
    """Return how long to look; what is found is printed as a program, and stored nowhere."""
    quiet: dict[str, Any] = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
    # To explain what was found takes longer than to find it.
    phases = [phase for phase in Phase if phase != Phase.explain]
    return settings(print_blob=True, phases=phases, **quiet, **chosen)


def make_cast(project: Project) -> list[int]:
    """Make a task that runs, one that is claimed, one that is blocked, one that is in review, and one that is ready."""
    hands = Hands("one", Path(project.root_path))
    tasks = [make_task(project) for _ in range(5)]
    hands.finish(hands.begin(tasks[0]), "blocked")
    hands.finish(hands.begin(tasks[1]), "finished")
    hands.begin(tasks[2])
    hands.take(tasks[3])
    return [task.pk for task in tasks]


def explore(project: Project, chosen: settings) -> None:
    machine = type("Interventions", (Interventions,), {"project": project, "cast": make_cast(project)})
    run_state_machine_as_test(machine, settings=chosen)


@pytest.mark.timeout(600)  # for what is found to be made small
def test_whatever_the_sequence_the_model_the_log_and_the_tables_agree(project: Project) -> None:
    explore(project, profile(max_examples=25, stateful_step_count=20, derandomize=True))


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_the_same_holds_for_many_more_and_longer_sequences(project: Project) -> None:
    explore(project, profile(max_examples=600, stateful_step_count=60))
