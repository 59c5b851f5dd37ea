"""Projects: made only for a repository that is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.utils.text import slugify

from events import services as events
from events.states import EventType
from orchestration import git
from orchestration.exceptions import InvalidRepository, SlugTaken
from orchestration.models import Project
from orchestration.services.rows import checked, insert, update_row


@events.unit_of_work()
def create_project(
    *, name: str, root_path: str, slug: str = "", base_branch: str = "main", actor: str, **fields: Any
) -> Project:
    """Create a project for a git repository. Raises InvalidRepository, Invalid, SlugTaken."""
    root_path = _inspected(root_path, base_branch)
    project = Project(name=name, slug=slug or _slug(name), root_path=root_path, base_branch=base_branch, **fields)
    checked(project)
    if Project.objects.filter(slug=project.slug).exists():
        raise SlugTaken
    insert(project, taken=SlugTaken)
    events.append(
        EventType.PROJECT_CREATED, project_id=project.pk, actor=actor, id=project.pk, version=1, title=project.name
    )
    return project


@events.unit_of_work()
def update_project(project: Project, *, actor: str, expected_version: int | None = None, **changes: Any) -> Project:
    """Change fields of a project. Raises InvalidRepository, Invalid, SlugTaken, VersionConflict."""
    if {"root_path", "base_branch"} & changes.keys():
        root_path = changes.get("root_path", project.root_path)
        base_branch = changes.get("base_branch", project.base_branch)
        changes["root_path"] = _inspected(root_path, base_branch)
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


def _inspected(root_path: str, base_branch: str) -> str:
    """Return the absolute path of the repository, or say what is wrong with it."""
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


def _slug(name: str) -> str:
    return slugify(name)[:60].strip("-") or "project"
