"""What the deciding side refuses. Each class carries a stable code; its docstring is the default message."""

from __future__ import annotations

from typing import Any


class DomainError(Exception):
    """The request cannot be carried out. Do not raise this class itself."""

    code = "refused"

    def __init__(self, message: str | None = None, **data: Any) -> None:
        super().__init__(message or self.__doc__)
        self.data = data


class Invalid(DomainError):
    """The values given do not fit together."""

    code = "invalid"


class Conflict(DomainError):
    """The present state does not allow it."""

    code = "conflict"


class InvalidTransition(Conflict):
    """The present status does not allow this move."""

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
    """The dependency would make tasks wait for each other for ever."""

    code = "dependency_cycle"


class CrossProject(Invalid):
    """Both must belong to the same project."""

    code = "cross_project"


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
    """No task of the request has this ref."""

    code = "unknown_ref"


class TooManyTasks(Invalid):
    """So many tasks are not created at once. Send them in several requests."""

    code = "too_many_tasks"


class TaskNotOpen(Conflict):
    """The task is finished; its dependencies cannot change any more."""

    code = "task_not_open"


class InvalidRepository(Invalid):
    """The path is no git repository this project could work on."""

    code = "invalid_repository"

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code
