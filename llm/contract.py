"""The contract between a runner and the client of an agent, whoever makes the client.

A runner starts a client, prompts it, and reads what it says as updates. The client calls back for two things: the
three tools by which an agent reports (`ToolHandlers`), and leave for each tool call (`PermissionPolicy`).
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

# Failures that may pass by themselves. Everything else needs a person.
RETRYABLE = frozenset({"rate_limited", "usage_limited", "overloaded", "timeout", "network", "crashed"})

PROVIDERS = {
    "claude_code": "llm.claude_code.client:ClaudeCodeClient",
    "noop": "llm.noop:NoopClient",
}


class UnknownProvider(LookupError):
    """No client is known by that provider name."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a client cannot go on, in a code of ours."""

    code: str
    message: str
    retry_after_s: float | None = None
    """When the provider says it may be tried again."""

    @property
    def is_retryable(self) -> bool:
        return self.code in RETRYABLE


class ClientFailed(Exception):
    """The client could not be started or spoken to."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.code}: {failure.message}")
        self.failure = failure


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What the client used since this process started it, whatever its session had used before."""

    token_in: int = 0
    token_out: int = 0
    token_cache_read: int = 0
    token_cache_write: int = 0
    cost_usd: float = 0.0
    turns: int = 0
    request_count: int = 0
    models: dict[str, dict[str, float]] = field(default_factory=dict)
    """The same per model name: token_in, token_out, token_cache_read, token_cache_write, cost_usd."""


@dataclass(frozen=True, kw_only=True)
class Text:
    """The agent said something."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Thinking:
    """The agent thought aloud."""

    text: str


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """The agent calls a tool."""

    id: str
    name: str
    input: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ToolResult:
    """What a tool call came to. `id` is that of the call."""

    id: str
    text: str
    is_error: bool = False


@dataclass(frozen=True, kw_only=True)
class SystemNote:
    """A word of the client about itself."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Stderr:
    """A line the client wrote on its stderr."""

    text: str


@dataclass(frozen=True, kw_only=True)
class SessionStarted:
    """The session exists and can be resumed by this id."""

    session_id: str
    model: str
    tools: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ApiRetry:
    """A request to the provider failed and is tried again."""

    attempt: int
    max_retries: int
    delay_s: float
    status: int | None
    error: str


@dataclass(frozen=True, kw_only=True)
class PermissionDenied:
    """A tool call was refused, by our policy or by the client's own rules."""

    tool_name: str
    message: str


@dataclass(frozen=True, kw_only=True)
class UsageChanged:
    """What was used so far. A later one replaces it; the one after a turn's end is exact."""

    usage: Usage


@dataclass(frozen=True, kw_only=True)
class TurnEnded:
    """The client is through with a prompt, or can go on no more (`failure`)."""

    text: str = ""
    is_interrupted: bool = False
    failure: Failure | None = None


Update = (
    Text
    | Thinking
    | ToolCall
    | ToolResult
    | SystemNote
    | Stderr
    | SessionStarted
    | ApiRetry
    | PermissionDenied
    | UsageChanged
    | TurnEnded
)


@dataclass(frozen=True, kw_only=True)
class ToolAnswer:
    """What the agent reads as the result of a report."""

    text: str
    is_error: bool = False


@dataclass(frozen=True, kw_only=True)
class ToolHandlers:
    """What a client calls when its agent reports."""

    finish: Callable[[str, str], Awaitable[ToolAnswer]]
    """`(summary, evidence)`: the task is done."""
    block: Callable[[str, str], Awaitable[ToolAnswer]]
    """`(reason, what_would_unblock)`: the agent cannot go on."""
    ask: Callable[[str, list[str]], Awaitable[ToolAnswer]]
    """`(question, options)`: a person has to decide; comes back with the answer."""
    is_over: Callable[[], bool]
    """Whether the turn is to end after the tool call that has just been answered."""


PermissionPolicy = Callable[[str, Mapping[str, Any]], Awaitable[str | None]]
"""`(tool_name, input)` → why the call is refused, or None where the policy has nothing against it."""


@dataclass(frozen=True, kw_only=True)
class ClientSetup:
    """What a client needs to know to start."""

    workspace: Path
    """The worktree the agent works in."""
    scratch: Path
    """A private folder for files the adapter needs while it runs."""
    launcher: tuple[str, ...]
    """The command through which the client's process has to be started, without the client's own."""
    model: str
    """Empty: the operator's default."""
    system_append: str
    session_id: str
    is_resumed: bool
    permission_mode: str
    allowed_tools: tuple[str, ...]
    """Empty: the adapter's default list."""
    max_turns: int
    max_cost_usd: float
    """For this process; 0: no cap."""
    session_cost_usd: float
    """What the session had cost before this process."""


class AgentClient(Protocol):
    """A running client. One coroutine reads `updates`, others may prompt and interrupt meanwhile."""

    def __init__(self, setup: ClientSetup, handlers: ToolHandlers, policy: PermissionPolicy) -> None: ...

    async def start(self) -> None:
        """Start the client's process. Raises ClientFailed."""

    async def prompt(self, text: str) -> None:
        """Say something to the agent: a turn begins. Raises ClientFailed when the client is gone."""

    async def remark(self, text: str) -> None:
        """Say something to the agent within its turn: it hears it before its next step. No turn begins by it.

        Raises ClientFailed when the client is gone.
        """

    def updates(self) -> AsyncIterator[Update]:
        """Yield what the client says until it is stopped. Each turn ends with exactly one TurnEnded; it never raises."""

    async def interrupt(self) -> None:
        """Ask the client to end its turn now. The session stays good."""

    async def stop(self) -> None:
        """End the client's process. Stopping twice, or before start, is harmless."""


def client_class(provider: str) -> type[AgentClient]:
    """Return the adapter of a provider. Imported only now: an adapter's library may be large, or missing.

    Raises UnknownProvider, and ClientFailed (client_missing) when the library is not installed.
    """
    try:
        module, name = PROVIDERS[provider].split(":")
    except KeyError:
        known = ", ".join(PROVIDERS)
        raise UnknownProvider(f"There is no provider {provider!r}; there are: {known}.") from None
    try:
        found: type[AgentClient] = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        message = f"The client of {provider} is not installed: no module {error.name!r}."
        raise ClientFailed(Failure(code="client_missing", message=message)) from error
    return found
