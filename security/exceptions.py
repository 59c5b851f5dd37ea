"""What the guards refuse. Each class carries a stable code; its docstring is the default message."""

from __future__ import annotations


class SecurityError(Exception):
    """The request was refused."""

    code = "refused"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class PathNotAllowed(SecurityError):
    """The path leaves the folder it has to stay in, or names a file that is never shared."""

    code = "path_not_allowed"
