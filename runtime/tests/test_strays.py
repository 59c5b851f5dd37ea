from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import pytest
from pytest_django import Settings

from orchestration.models import Agent, Project
from orchestration.tests.factories import make_task
from runtime import strays
from runtime.models import TaskRun
from runtime.services.finishing import finish_run
from runtime.strays import Strays
from runtime.tests.factories import ending
from runtime.tests.starts import begun, living, make_directory, own_home, start_process

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def home(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(strays, "_EVERY_S", 0)
    monkeypatch.setattr(strays, "_AGAIN_S", 0)
    with own_home(settings, tmp_path) as home:
        yield home


@pytest.fixture
def run(project: Project, agent: Agent) -> TaskRun:
    return begun(make_task(project), agent)


@pytest.fixture
def process(run: TaskRun, tmp_path: Path) -> Popen[bytes]:
    return start_process(make_directory(run, tmp_path), "setsid sleep 60 & exec sleep 60")


def look(times: int) -> None:
    watch = Strays()
    for _ in range(times):
        watch.end()


def test_what_works_on_a_run_is_left_alone(process: Popen[bytes]) -> None:
    look(3)
    assert process.poll() is None


def begin_again(run: TaskRun) -> None:
    TaskRun.objects.filter(pk=run.pk).update(epoch=2)


def finish(run: TaskRun) -> None:
    finish_run(run, ending("cancelled"))


@pytest.mark.parametrize("superseding", [begin_again, finish])
def test_what_is_left_of_a_start_that_is_over_ends_at_the_second_look(
    run: TaskRun, process: Popen[bytes], home: Path, superseding: Callable[[TaskRun], None]
) -> None:
    superseding(run)
    look(1)
    assert process.poll() is None
    look(2)
    assert process.wait() == -15
    assert living(home) == []


@pytest.mark.breaks_invariants
def test_a_run_that_the_database_does_not_know_is_not_ours_to_end(run: TaskRun, process: Popen[bytes]) -> None:
    TaskRun.objects.filter(pk=run.pk).delete()
    look(3)
    assert process.poll() is None
