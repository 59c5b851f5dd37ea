"""What the deciding side refuses. Each class carries a stable code; its docstring is the default message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class DomainError(Exception):
    """The request cannot be carried out. Do not raise this class itself."""

    code = "refused"
    codes: ClassVar[Mapping[str, str]] = {}
    """What each code means, in a class whose errors bring their own."""

    def __init__(self, message: str | None = None, **data: Any) -> None:
        super().__init__(message or self.__doc__)
        self.data = data


class Invalid(DomainError):
    """The values given do not fit together. Correct them."""

    code = "invalid"


class Conflict(DomainError):
    """The present state does not allow it. Read again and decide anew."""

    code = "conflict"


class InvalidTransition(Conflict):
    """The present status does not allow this move. Read it again and decide anew."""

    code = "invalid_transition"


class VersionConflict(Conflict):
    """Somebody else changed it since you read it. Read it again and decide anew."""

    code = "version_conflict"


class SlugTaken(Conflict):
    """Another project has this slug. Choose another one."""

    code = "slug_taken"


class NameTaken(Conflict):
    """The name is in use. Choose another one."""

    code = "name_taken"


class DependencyCycle(Invalid):
    """The dependency would make tasks wait for each other for ever. Remove another one first, or do without it."""

    code = "dependency_cycle"


class ParentCycle(Invalid):
    """A task cannot be its own parent, directly or through others. Choose another one."""

    code = "parent_cycle"


class CrossProject(Invalid):
    """Both must belong to the same project. Choose rows of one project."""

    code = "cross_project"


class PathOutside(Invalid):
    """The path does not lie below the repository. Give one such as docs/rules.md, without `..`."""

    code = "path_outside"


class Gone(Conflict):
    """It was deleted while you looked at it. Read the list again."""

    code = "gone"


class InUse(Conflict):
    """Other rows need it. Archive it instead."""

    code = "in_use"


class Archived(Conflict):
    """It is archived. Take it out of the archive first."""

    code = "archived"


class TaskOpen(Conflict):
    """Only a task that is done, failed or cancelled can be archived. Cancel it first."""

    code = "task_open"


class DuplicateRef(Invalid):
    """Two tasks of the request have the same ref. Give each its own."""

    code = "duplicate_ref"


class UnknownRef(Invalid):
    """No task of the request has this ref. Correct it, or give the id of a task that exists."""

    code = "unknown_ref"


class TooManyTasks(Invalid):
    """So many tasks are not created at once. Send them in several requests."""

    code = "too_many_tasks"


class TaskNotOpen(Conflict):
    """The task is finished; its dependencies cannot change any more. Make a new task."""

    code = "task_not_open"


class InvalidRepository(Invalid):
    """The path is no git repository this project could work on."""

    codes = {
        "path_not_found": "There is no such folder on the server. Give the root of a repository.",
        "not_a_repository": "The folder is no git repository. Run `git init` there, or give another one.",
        "not_repository_root": "The folder lies inside a repository. Give the root of it.",
        "repository_empty": "The repository has no commit. Make the first one.",
        "base_branch_missing": "The repository has no such branch. Create it, or give one that exists.",
    }

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code
