from __future__ import annotations

from pathlib import Path

import pytest

from events.models import Event
from orchestration.exceptions import InvalidRepository, NameTaken, SlugTaken
from orchestration.models import Project
from orchestration.services.projects import create_project, update_project
from orchestration.tests.factories import ACTOR, git, make_agent, make_project, make_repository

pytestmark = pytest.mark.django_db


def create(path: Path, **fields: str) -> Project:
    return create_project(**{"name": "Hive", "root_path": str(path), "actor": ACTOR} | fields)


def code_of(path: Path, **fields: str) -> str:
    with pytest.raises(InvalidRepository) as refusal:
        create(path, **fields)
    assert not Project.objects.exists()
    assert not Event.objects.exists()
    return refusal.value.code


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert code_of(tmp_path / "nowhere") == "path_not_found"


def test_a_folder_without_git_is_refused(tmp_path: Path) -> None:
    assert code_of(tmp_path) == "not_a_repository"


def test_a_repository_without_a_commit_is_refused(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    assert code_of(tmp_path) == "repository_empty"


def test_a_missing_base_branch_is_refused(tmp_path: Path) -> None:
    assert code_of(make_repository(tmp_path / "repo"), base_branch="release") == "base_branch_missing"


def test_the_slug_comes_from_the_name(tmp_path: Path) -> None:
    assert create(make_repository(tmp_path / "repo"), name="My Hive!").slug == "my-hive"


def test_a_slug_is_taken_once(tmp_path: Path) -> None:
    create(make_repository(tmp_path / "repo"))
    with pytest.raises(SlugTaken):
        create(tmp_path / "repo")


def test_moving_a_project_to_a_bad_path_changes_nothing(tmp_path: Path) -> None:
    project = make_project(tmp_path / "repo")
    with pytest.raises(InvalidRepository):
        update_project(project, actor=ACTOR, root_path=str(tmp_path / "nowhere"), name="Other")
    assert Project.objects.get().name == project.name


def test_an_agent_name_is_taken_once_per_project(tmp_path: Path) -> None:
    project = make_project(tmp_path / "repo")
    make_agent(project, name="Ada")
    with pytest.raises(NameTaken):
        make_agent(project, name="Ada")
