"""What most tests of runs begin with. A file that needs another project or agent has a fixture of that name of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from orchestration.models import Agent, Project, Task
from orchestration.tests.factories import make_agent, make_project, make_task
from runtime.tests.starts import own_home


@pytest.fixture
def home(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    """Give a data folder of one's own."""
    with own_home(settings, tmp_path) as home:
        yield home


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo")


@pytest.fixture
def agent(project: Project) -> Agent:
    """An agent that does one task at a time."""
    return make_agent(project)


@pytest.fixture
def task(project: Project) -> Task:
    return make_task(project)
