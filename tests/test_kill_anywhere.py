"""A process is killed around any statement of what is done to a run: all of it has happened or nothing, and it can be done again."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pytest_django import Settings

from orchestration.exceptions import DomainError
from orchestration.models import Project, Task
from orchestration.tests.factories import make_agent, make_project, make_task
from runtime.invariants import differences
from runtime.tests.hands import Hands
from runtime.tests.replay import History, untold
from tests.deeds import DEEDS, OWNER, Deed, signature
from tests.schedulers import Site, site
from tests.victims import Call, Moment, Victims, victims, wait_for_end_of_victim

pytestmark = pytest.mark.django_db(transaction=True)

# One of each kind is killed every day. The others, which take the same ways once more, take their time (`make test-long`).
_EVERY_DAY = {
    "begin",
    "finish finished",
    "finish together",
    "finish retryable",
    "finish though cancelled",
    "promote",
    "deliver",
    "land",
    "release",
    "recover what has ended",
    "pause",
    "resume",
    "cancel",
    "run",
    "request changes",
    "answer",
}
DAILY = [name if name in _EVERY_DAY else pytest.param(name, marks=pytest.mark.torture) for name in DEEDS]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("doomed"), BBB_MAX_PARALLEL_RUNS="1000") as place:
        yield place


@pytest.fixture(scope="module")
def doomed(place: Site) -> Iterator[Victims]:
    with victims(place.environment) as started:
        yield started


@pytest.fixture
def stage(place: Site, doomed: Victims, settings: Settings, tmp_path: Path) -> Stage:
    settings.BBB_HOME = place.home
    settings.RETRY_BASE_S = 0
    project = make_project(tmp_path / "repo", max_parallel_runs=1000)
    make_agent(project, max_parallel_runs=1000)
    settings.MAX_PARALLEL_RUNS = 1000
    return Stage(project, doomed)


class Stage:
    """Where a deed is done to one fresh task after the other."""

    def __init__(self, project: Project, doomed: Victims) -> None:
        self._project = project
        self._doomed = doomed
        self._hands = Hands(OWNER, Path(project.root_path))
        self._history = History()

    def arrange(self, deed: Deed) -> Task:
        task = make_task(self._project)
        deed.arrange(task, self._hands)
        return task

    def kill(self, name: str, task: Task, step: int, moment: Moment) -> bool:
        """Do the deed in a process that is killed; tell whether it was, or had fewer statements."""
        was_killed = self._doomed.send(Call(name, task.pk, step, moment))
        wait_for_end_of_victim()
        return was_killed

    def wrong(self) -> list[str]:
        return [*untold(self._history), *map(str, differences())]


def do(deed: Deed, task: Task) -> None:
    """Do a deed; a refusal is an answer too."""
    with suppress(DomainError):
        deed.act(Task.objects.get(pk=task.pk))


def kill_at_each_statement(name: str, stage: Stage, moment: Moment) -> int:
    """Kill a deed at its first statement, then at its second, and so on; return how many statements it has.

    What was killed is done again, and has to lead to where the deed leads that nobody disturbs. As long as a kill has
    left all as it was, that is done once, after the last of them.
    """
    deed = DEEDS[name]
    task = stage.arrange(deed)
    before = signature(task)
    do(deed, task)
    whole = signature(task)
    assert before != whole
    task = stage.arrange(deed)
    for step in itertools.count(1):
        was_killed = stage.kill(name, task, step, moment)
        where = f"{name}, killed {moment} statement {step}"
        check(stage, where)
        if was_killed and signature(task) == before:
            continue
        if not was_killed:
            assert signature(task) == whole
            return step - 1
        do(deed, task)
        check(stage, f"{where}, and done again")
        assert signature(task) == whole, where
        task = stage.arrange(deed)
    raise AssertionError


def check(stage: Stage, where: str) -> None:
    found = stage.wrong()
    assert not found, f"{where}:\n" + "\n".join(found)


@pytest.mark.parametrize("name", DAILY)
def test_a_command_killed_around_any_statement_has_happened_wholly_or_not_at_all(name: str, stage: Stage) -> None:
    statements = kill_at_each_statement(name, stage, "before")
    # Behind a statement is before the next one; only behind the last one there is none.
    task = stage.arrange(DEEDS[name])
    assert stage.kill(name, task, statements, "after")
    check(stage, f"{name}, killed after all of it")
    done = signature(task)
    do(DEEDS[name], task)
    check(stage, f"{name}, killed after all of it, and done again")
    assert signature(task) == done


@pytest.mark.torture
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", DEEDS)
def test_the_same_holds_for_a_death_after_any_statement(name: str, stage: Stage) -> None:
    assert kill_at_each_statement(name, stage, "after") > 2
