"""What goes wrong, as a person and a script hear of it: a sentence, a stable code, an exit status."""

from __future__ import annotations

from enum import IntEnum
from http import HTTPStatus
from typing import Any


class ExitCode(IntEnum):
    """The exit statuses of `bbb`; docs/cli.md and `bbb --help` list them."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    NOT_ALLOWED = 3
    NOT_FOUND = 4
    CONFLICT = 5
    UNAVAILABLE = 6
    INTERRUPTED = 130
    PIPE_CLOSED = 141


MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "done",
    ExitCode.REFUSED: "refused by the server: the request is not valid",
    ExitCode.USAGE: "the command line, a file or a plan is not right; nothing was sent",
    ExitCode.NOT_ALLOWED: "not logged in, or not allowed",
    ExitCode.NOT_FOUND: "there is no such thing, or it is not yours to see",
    ExitCode.CONFLICT: "the present state does not allow it, or somebody else was faster",
    ExitCode.UNAVAILABLE: "the server is not reachable, too busy, or has failed",
    ExitCode.INTERRUPTED: "stopped by a person",
}

# Statuses of HTTP that mean something else than "refused".
_EXIT_CODES: dict[int, ExitCode] = {
    HTTPStatus.UNAUTHORIZED: ExitCode.NOT_ALLOWED,
    HTTPStatus.FORBIDDEN: ExitCode.NOT_ALLOWED,
    HTTPStatus.NOT_FOUND: ExitCode.NOT_FOUND,
    HTTPStatus.CONFLICT: ExitCode.CONFLICT,
    HTTPStatus.PRECONDITION_FAILED: ExitCode.CONFLICT,
    HTTPStatus.TOO_MANY_REQUESTS: ExitCode.UNAVAILABLE,
}
_HINTS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "Log in with `bbb login`.",
    HTTPStatus.FORBIDDEN: "`bbb whoami` says what your token may do.",
    HTTPStatus.PRECONDITION_FAILED: "Read it again and decide anew.",
}


# Where an address (/api/v1/tasks/7) has its id, and what a person calls the noun before it.
_ID = 4
_NOUNS = {
    "projects": "project",
    "agents": "agent",
    "tasks": "task",
    "runs": "run",
    "inbox": "inbox item",
    "breakers": "breaker",
}


class CliError(Exception):
    """The command cannot be carried out. The message says what happened and what to do."""

    code = "error"
    exit_code = ExitCode.REFUSED

    def problem(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {"code": self.code, "detail": str(self)}

    def lines(self) -> list[str]:
        """Return what is printed for a person, besides the message."""
        return []


class Misuse(CliError):
    """What was given to the command does not fit."""

    code = "usage"
    exit_code = ExitCode.USAGE


class NotLoggedIn(CliError):
    """There is no token for this server."""

    code = "not_logged_in"
    exit_code = ExitCode.NOT_ALLOWED


class NoSuchThing(CliError):
    """A name leads to nothing on the server."""

    code = "not_found"
    exit_code = ExitCode.NOT_FOUND


class Unreachable(CliError):
    """The server does not answer."""

    code = "unreachable"
    exit_code = ExitCode.UNAVAILABLE


class Refusal(CliError):
    """The server has said no; `body` is its problem document (RFC 9457)."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.status = status
        self.body = body
        self.code = str(body.get("code", f"http_{status}"))
        super().__init__(" ".join(filter(None, [_sentence(body, status), _HINTS.get(status)])))

    @property
    def exit_code(self) -> ExitCode:  # type: ignore[override]
        if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return ExitCode.UNAVAILABLE
        return _EXIT_CODES.get(self.status, ExitCode.REFUSED)

    @property
    def faults(self) -> list[dict[str, Any]]:
        """Each single error: code, detail, and where it is."""
        found: list[dict[str, Any]] = self.body.get("errors") or []
        return found

    def problem(self) -> dict[str, Any]:
        return self.body

    def lines(self) -> list[str]:
        told = [_fault(fault) for fault in self.faults if len(self.faults) > 1]
        present = [f"{name} {value}" for name, value in (self.body.get("data") or {}).items()]
        trace = self.body.get("trace_id")
        return [*told, " · ".join([f"code {self.code}", *present, *([f"trace {trace}"] if trace else [])])]


def _sentence(body: dict[str, Any], status: int) -> str:
    """Return what is said; of a row that is not there, by the name a person has given it."""
    address = str(body.get("instance", "")).split("/")
    if status == HTTPStatus.NOT_FOUND and len(address) > _ID and address[_ID].isdecimal():
        noun = _NOUNS.get(address[_ID - 1], address[_ID - 1])
        return f"There is no {noun} {address[_ID]}, or none that you may see."
    return str(body.get("detail") or f"The server has answered with status {status}.")


def _fault(fault: dict[str, Any]) -> str:
    where = fault.get("pointer") or fault.get("parameter")
    return f"{where}: {fault.get('detail')}" if where else str(fault.get("detail"))
