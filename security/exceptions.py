"""What the guards refuse. Each class carries a stable code; its docstring is the default message."""

from __future__ import annotations


class SecurityError(Exception):
    """The request was refused."""

    code = "refused"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class PathNotAllowed(SecurityError):
    """The path leaves the folder it has to stay in, or names a file that is never shared. Choose another one."""

    code = "path_not_allowed"


class TokenInvalid(SecurityError):
    """The token is unknown, was revoked, or belongs to a user who may not log in. Send another one."""

    code = "token_invalid"


class TokenExpired(SecurityError):
    """The token has expired. Make a new one."""

    code = "token_expired"


class UnknownScope(SecurityError):
    """There is no such scope. Choose from events, read, write, admin."""

    code = "unknown_scope"


class OutsideAccess(SecurityError):
    """You see only some projects, and this concerns all. Ask an administrator who sees all of them."""

    code = "outside_access"


class NotAuthor(SecurityError):
    """Only its author may do this, or an admin. Ask one of them."""

    code = "not_author"


class ScopeTooWide(SecurityError):
    """A token may do no more than the one who makes it, and only a person, or a token with the scope admin, makes one. Choose fewer scopes."""

    code = "scope_too_wide"
