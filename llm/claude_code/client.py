"""The client: one Claude Code process, spoken to through the SDK."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import structlog
from claude_agent_sdk import (
    ClaudeSDKClient,
    ClaudeSDKError,
    CLINotFoundError,
    Message,
    ProcessError,
    ResultError,
    ResultMessage,
)

from llm import operator_settings
from llm.claude_code import failures, hooks, options, sessions, tools
from llm.claude_code.messages import Translator
from llm.claude_code.sessions import Baseline
from llm.claude_code.usage import UsageMeter
from llm.contract import (
    ClientFailed,
    ClientSetup,
    Failure,
    PermissionPolicy,
    Stderr,
    ToolHandlers,
    TurnEnded,
    Update,
    UsageChanged,
)

log = structlog.get_logger("bbb.llm")

_INTERRUPT_S = 3.0
_STDERR_LINES = 20


class ClaudeCodeClient:
    """Claude Code as an `AgentClient`."""

    def __init__(self, setup: ClientSetup, handlers: ToolHandlers, policy: PermissionPolicy) -> None:
        self._setup = setup
        self._handlers = handlers
        self._policy = policy
        self._said: asyncio.Queue[Update | None] = asyncio.Queue()
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self._sdk: ClaudeSDKClient | None = None
        self._pump: asyncio.Task[None] | None = None
        self._open: str | None = None
        """The id of the prompt whose turn has not ended."""
        self._has_ended = False
        self._dead: Failure | None = None

    async def start(self) -> None:
        """Start the process and wait until it answers. Raises ClientFailed."""
        try:
            client = operator_settings.client_path()
            before = self._baseline()
            self._sdk = ClaudeSDKClient(
                options.build(
                    self._setup,
                    client=client,
                    server=tools.server(self._handlers),
                    hooks=hooks.build(self._policy, self._handlers, self._said.put_nowait),
                    stderr=self._hear_stderr,
                    environ=os.environ,
                )
            )
            await self._sdk.connect()
        except operator_settings.OperatorSettingsError as error:
            raise ClientFailed(Failure(code=error.code, message=str(error))) from error
        except (ClaudeSDKError, OSError) as error:
            raise ClientFailed(self._failure(error)) from error
        translator = Translator(UsageMeter(before))
        self._pump = asyncio.create_task(self._listen(self._sdk, translator))

    async def prompt(self, text: str) -> None:
        """Say something to the agent. Raises ClientFailed when the process is gone."""
        self._open = str(uuid4())
        await self._tell(text, self._open)

    async def remark(self, text: str) -> None:
        """Say something within the turn. Should the turn be over by then, the client begins one that nobody waits for."""
        await self._tell(text, str(uuid4()))

    async def _tell(self, text: str, message_id: str) -> None:
        if self._dead is not None or self._sdk is None:
            raise ClientFailed(self._dead or Failure(code="crashed", message="The client was not started."))
        try:
            await self._sdk.query(_line(text, message_id))
        except (ClaudeSDKError, OSError) as error:
            raise ClientFailed(self._cause(error)) from error

    async def updates(self) -> AsyncIterator[Update]:
        """Yield what the client says, until it is stopped."""
        while (update := await self._said.get()) is not None:
            yield update

    async def interrupt(self) -> None:
        """End the turn. A client that does not answer is left to `stop`."""
        if self._sdk is None or self._has_ended:
            return
        # Whatever goes wrong here, the process is ended next and its end is on record.
        with suppress(Exception):
            async with asyncio.timeout(_INTERRUPT_S):
                await self._sdk.interrupt()

    async def stop(self) -> None:
        """End the process: its input is closed, then SIGTERM, then SIGKILL."""
        sdk, self._sdk = self._sdk, None
        if sdk is not None:
            await sdk.disconnect()
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait({self._pump})
        self._said.put_nowait(None)

    def _baseline(self) -> Baseline:
        """Return what the session had used. Raises ClientFailed when there is no such session to resume."""
        if not self._setup.is_resumed:
            return Baseline()
        session_id = self._setup.session_id
        path = sessions.transcript(operator_settings.config_dir(os.environ), session_id)
        if path is None:
            raise ClientFailed(Failure(code="session_lost", message=f"There is no session {session_id} to resume."))
        return sessions.baseline(path)

    async def _listen(self, sdk: ClaudeSDKClient, translator: Translator) -> None:
        try:
            async for message in sdk.receive_messages():
                for update in translator.updates(message):
                    if not self._is_end_of_remark(update, message):
                        self._say(update)
                if translator.failure is not None:
                    self._die(translator.failure)
                    await self.interrupt()
                    return
            self._has_ended = True
            self._die(self._failure(None))
        except Exception as error:
            # The SDK raises plain Exceptions here too. The end of the process is an update like any other.
            log.exception("client_ended")
            self._has_ended = True
            self._say(UsageChanged(usage=translator.meter.usage()))
            self._die(self._failure(error))

    def _is_end_of_remark(self, update: Update, message: Message) -> bool:
        """Tell whether a turn that ended was a remark's, which came too late for the turn it was meant for.

        The prompt's own turn follows. Nobody waits for that once the agent has reported, in whichever turn, or the
        provider has failed.
        """
        if not isinstance(update, TurnEnded) or update.failure is not None or self._handlers.is_over():
            return False
        heard = (isinstance(message, ResultMessage) and message.user_message_uuids) or []
        return bool(heard) and self._open not in heard

    def _say(self, update: Update) -> None:
        if isinstance(update, TurnEnded):
            if self._open is None:
                return  # a turn the client began by itself
            self._open = None
        self._said.put_nowait(update)

    def _die(self, failure: Failure) -> None:
        self._dead = failure
        self._say(TurnEnded(failure=failure))

    def _hear_stderr(self, line: str) -> None:
        self._stderr.append(line)
        self._said.put_nowait(Stderr(text=line))

    def _cause(self, error: Exception) -> Failure:
        """What ended the client may have become known while we spoke to it, and says more than the broken pipe."""
        return self._dead or self._failure(error)

    def _failure(self, error: Exception | None) -> Failure:
        stderr = "\n".join(self._stderr)
        if isinstance(error, CLINotFoundError):
            return Failure(code="client_missing", message=str(error))
        if isinstance(error, ResultError):
            return failures.of_exit(error.exit_code, f"{error}\n{stderr}".strip())
        if error is None or isinstance(error, ProcessError):
            return failures.of_exit(error.exit_code if error else 0, stderr)
        return Failure(code="crashed", message=f"{type(error).__name__}: {error} {stderr}".strip())


async def _line(text: str, message_id: str) -> AsyncIterator[dict[str, Any]]:
    """Give a message the id by which the end of its turn names it."""
    yield {
        "type": "user",
        "uuid": message_id,
        "message": {"role": "user", "content": text},
        "parent_tool_use_id": None,
    }
