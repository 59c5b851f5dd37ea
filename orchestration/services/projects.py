"""Projects: made only for a repository that is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.utils.text import slugify

from events import services as events
from events.states import EventType
from orchestration import git
from orchestration.exceptions import InvalidRepository, SlugTaken
from orchestration.limits import ProjectDay, check_daily_limits
from orchestration.models import Project
from orchestration.services.rows import checked, insert, update_row


def create_project(*, root_path: str, base_branch: str = "main", actor: str, **fields: Any) -> Project:
    """Create a project for a git repository. Raises InvalidRepository, Invalid, SlugTaken."""
    root_path = inspected(root_path, base_branch)
    return add_project(root_path=root_path, base_branch=base_branch, actor=actor, **fields)


@events.unit_of_work()
def add_project(
    *, name: str, root_path: str, slug: str = "", base_branch: str = "main", actor: str, **fields: Any
) -> Project:
    """Create a project for a repository that was inspected, at the path this answered. Raises Invalid, SlugTaken."""
    check_daily_limits(ProjectDay, fields)
    project = Project(name=name, slug=slug or _slug(name), root_path=root_path, base_branch=base_branch, **fields)
    checked(project)
    if Project.objects.filter(slug=project.slug).exists():
        raise SlugTaken
    insert(project, taken=SlugTaken)
    events.append(
        EventType.PROJECT_CREATED, project_id=project.pk, actor=actor, id=project.pk, version=1, title=project.name
    )
    return project


def update_project(project: Project, *, actor: str, expected_version: int | None = None, **changes: Any) -> Project:
    """Change fields of a project. Raises InvalidRepository, Invalid, SlugTaken, VersionConflict."""
    check_daily_limits(ProjectDay, changes)
    if {"root_path", "base_branch"} & changes.keys():
        root_path = changes.get("root_path", project.root_path)
        base_branch = changes.get("base_branch", project.base_branch)
        changes["root_path"] = inspected(root_path, base_branch)
    return _changed(project, changes, actor=actor, expected_version=expected_version)


def inspected(root_path: str, base_branch: str) -> str:
    """Return the absolute path of a repository, or say what is wrong with it.

    This asks git, and a disk that may not answer: not in a transaction, which on SQLite would keep all others from writing.
    Raises InvalidRepository.
    """
    try:
        path = Path(root_path).expanduser()
        git.inspect_repository(path, base_branch)
        return str(path.resolve())
    except git.RepositoryInvalid as error:
        raise InvalidRepository(str(error), code=error.code) from None
    except (OSError, RuntimeError, ValueError):  # a name too long, a user that is not there, a NUL
        raise InvalidRepository(f"{root_path!r} cannot be a path on this host.", code="path_not_found") from None
    except git.GitError as error:
        raise InvalidRepository(f"git cannot read {root_path!r}: {error}", code="not_a_repository") from None


@events.unit_of_work()
def _changed(project: Project, changes: dict[str, Any], *, actor: str, expected_version: int | None) -> Project:
    if Project.objects.filter(slug=changes.get("slug", "")).exclude(pk=project.pk).exists():
        raise SlugTaken
    if fields := update_row(project, expected_version=expected_version, changes=changes):
        events.append(
            EventType.PROJECT_UPDATED,
            project_id=project.pk,
            actor=actor,
            id=project.pk,
            version=project.version,
            fields=fields,
        )
    return project


def _slug(name: str) -> str:
    return slugify(name)[:60].strip("-") or "project"
