"""Many people command the same tasks while schedulers work on them: each command has one outcome, and the log tells it all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

import pytest
from pytest_django import Settings

from events.models import Event
from orchestration.models import Project
from orchestration.tests.factories import make_agent, make_project
from runtime.tests.crowd import Client, HttpClient, Record, make_cast, together
from runtime.tests.hands import Hands
from runtime.tests.replay import disagreements, replay
from runtime.tests.starts import own_home

pytestmark = pytest.mark.django_db(transaction=True)

# What a seed decides is who asks for what in which order; which of two is faster, the machine decides.
SEEDS = [1, 2]


@pytest.fixture(autouse=True)
def home(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    settings.MAX_PARALLEL_RUNS = 100
    with own_home(settings, tmp_path) as home:
        yield home


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = make_project(tmp_path / "repo", max_parallel_runs=100)
    make_agent(project, max_parallel_runs=100)
    return project


def contend(project: Project, clients: list[Client], *, seed: int, deeds: int) -> None:
    """Let clients and two schedulers loose on tasks in every status."""
    cast = make_cast(project, Hands("one", Path(project.root_path)))
    work = [partial(client.work, cast, deeds) for client in clients]
    together(work, [scheduler(owner, project, seed) for owner in ("one", "two")])


def scheduler(owner: str, project: Project, seed: int) -> Callable[[], None]:
    hands, chance = Hands(owner, Path(project.root_path)), Random(f"{seed}:{owner}")
    return lambda: hands.step(chance)


def told(clients: list[Client]) -> Counter[Record]:
    """Return how often each outcome of a client's command is on record."""
    actors = {client.actor for client in clients}
    audits = replay(Event.objects.order_by("id")).audits
    return Counter({record: count for record, count in audits.items() if record[0] in actors})


def check(clients: list[Client], seed: int) -> None:
    """Fail with all that does not fit, and with the seed that shows it again."""
    found = disagreements()
    assert not found, f"seed {seed}:\n" + "\n".join(found)
    answered = sum((client.answers for client in clients), Counter[Record]())
    wrong = {record: (answered[record], told(clients)[record]) for record in answered | told(clients)}
    wrong = {record: counts for record, counts in wrong.items() if counts[0] != counts[1]}
    assert not wrong, f"seed {seed}: (answered, on record) differ: {wrong}"


@pytest.mark.parametrize("seed", SEEDS)
def test_log_tables_and_clients_agree_after_commands_from_all_sides(project: Project, seed: int) -> None:
    clients = [Client(f"client-{number}", seed=seed) for number in range(5)]
    contend(project, clients, seed=seed, deeds=25)
    check(clients, seed)


def test_the_same_holds_for_commands_by_http(project: Project) -> None:
    clients: list[Client] = [HttpClient(f"client-{number}", seed=1) for number in range(4)]
    contend(project, clients, seed=1, deeds=12)
    check(clients, 1)


@pytest.mark.torture
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(100, 130))
def test_the_same_holds_in_the_long_run(project: Project, seed: int) -> None:
    clients = [HttpClient("api", seed=seed), *(Client(f"client-{number}", seed=seed) for number in range(7))]
    contend(project, clients, seed=seed, deeds=100)
    check(clients, seed)
