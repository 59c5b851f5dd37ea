"""Class how a turn of Claude Code failed. Pure: from what the client reported to a code of ours.

An API error comes as `subtype: success, is_error: true`, so the subtype alone says nothing. The order of the rules
matters: the more specific evidence comes first.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from llm.contract import Failure

_USAGE_LIMIT = re.compile(r"usage limit|limit reached|hit your .{0,40}limit|out of .{0,20}usage", re.IGNORECASE)
_TIMEOUT = re.compile(r"timed out|timeout", re.IGNORECASE)
_NETWORK = re.compile(
    r"connection|ECONN|ENOTFOUND|EAI_AGAIN|socket|network|malformed response|JSON parse error", re.IGNORECASE
)
_LOGIN = re.compile(r"not logged in|/login|failed to authenticate", re.IGNORECASE)
_CONTEXT = re.compile(r"prompt is too long|context window", re.IGNORECASE)
_NO_SESSION = "No conversation found with session ID"


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the client said at the end of a turn."""

    subtype: str
    is_error: bool
    terminal_reason: str = ""
    stop_reason: str = ""
    status: int | None = None
    """HTTP status of the provider's last answer."""
    error: str = ""
    """The client's own class of the error: rate_limit, server_error, …"""
    text: str = ""
    limit_resets_at: float | None = None
    """Set when the provider said that the plan's limit is used up: until when, as a Unix time."""

    @property
    def is_interrupted(self) -> bool:
        return self.terminal_reason.startswith("aborted")


def classify(report: Report) -> Failure | None:
    """Return the failure, or None for a turn that ended well or was interrupted."""
    if report.is_interrupted or (report.subtype == "success" and not report.is_error):
        return None
    code = next((code for code, holds in _RULES if holds(report)), "crashed")
    return Failure(code=code, message=report.text or report.subtype, retry_after_s=_retry_after_s(report))


def of_exit(exit_code: int | None, stderr: str) -> Failure:
    """Return the failure of a client whose process ended by itself. `stderr` is the end of what it wrote there."""
    if _NO_SESSION in stderr:
        return Failure(code="session_lost", message=stderr)
    if "cannot be used with root" in stderr or "Invalid permission mode" in stderr:
        return Failure(code="permission", message=stderr)
    ended = "The client ended" if exit_code is None else f"The client ended with exit code {exit_code}"
    return Failure(code="crashed", message=f"{ended}. {stderr}".strip())


def of_retry(status: int | None) -> Failure | None:
    """Return the failure that makes a retry pointless: the client would go on for minutes."""
    if status in {401, 403}:
        return Failure(code="auth", message=f"The provider refused the login (HTTP {status}).")
    return None


def _retry_after_s(report: Report) -> float | None:
    return None if report.limit_resets_at is None else max(0.0, report.limit_resets_at - time.time())


def _is_usage_limited(report: Report) -> bool:
    is_limit = report.status == 429 or report.error == "rate_limit"
    return is_limit and (report.limit_resets_at is not None or _USAGE_LIMIT.search(report.text) is not None)


def _is_context_overflow(report: Report) -> bool:
    if report.terminal_reason in {"prompt_too_long", "image_error"} or report.status == 413:
        return True
    return _CONTEXT.search(report.text) is not None


def _is_network(report: Report) -> bool:
    return report.status in {None, 200} and _NETWORK.search(report.text) is not None


_RULES: list[tuple[str, Callable[[Report], bool]]] = [
    ("max_turns", lambda it: it.subtype == "error_max_turns"),
    ("budget", lambda it: it.subtype == "error_max_budget_usd"),
    ("session_lost", lambda it: _NO_SESSION in it.text),
    ("context_overflow", _is_context_overflow),
    # Said after what is no fault of the session's length: an answer that never comes to its end.
    ("output_too_long", lambda it: it.error == "max_output_tokens"),
    ("refused", lambda it: it.stop_reason == "refusal"),
    ("billing", lambda it: it.error == "billing_error" or it.status == 402),
    ("auth", lambda it: it.error == "authentication_failed" or it.status in {401, 403}),
    ("model_not_found", lambda it: it.error == "model_not_found" or it.status == 404),
    ("usage_limited", _is_usage_limited),
    ("rate_limited", lambda it: it.error == "rate_limit" or it.status == 429),
    ("invalid_request", lambda it: it.error == "invalid_request" or it.status == 400),
    ("overloaded", lambda it: it.status is not None and it.status >= 500),
    ("timeout", lambda it: _TIMEOUT.search(it.text) is not None),
    ("network", _is_network),
    ("auth", lambda it: _LOGIN.search(it.text) is not None),
    ("overloaded", lambda it: it.error in {"server_error", "overloaded"} or "overloaded" in it.text.lower()),
]
