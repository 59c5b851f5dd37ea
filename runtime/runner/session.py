"""One run from setup to end: start the client, prompt it, listen, and stop it when the run has to stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import structlog

from llm import contract
from llm.contract import (
    AgentClient,
    ClientFailed,
    ClientSetup,
    TurnEnded,
    UnknownProvider,
    Update,
)
from runtime.runner import commands, nudges
from runtime.runner.policy import WorktreePolicy
from runtime.runner.reports import Reports
from runtime.runner.state import Ending, RunState
from runtime.runner.watch import POLL_S, watch

log = structlog.get_logger("bbb.runtime")

# How long tools may go on before an interrupt cuts them off.
SAFE_POINT_S = 10.0
# How long a client that was interrupted may take to end its turn, and to stop.
TURN_END_S = 5.0
NUDGE = (
    "You ended your turn without a report. If the task is done, call finish_task with a summary and your evidence. "
    "If you cannot go on, call block_task. If a person has to decide something, call request_input."
)


class Session:
    """The life of one run, up to how it ends. What is left of processes afterwards is its caller's."""

    def __init__(self, state: RunState, *, environment: Mapping[str, str]) -> None:
        """`environment` is that of the project's own commands: it holds no credentials."""
        self._state = state
        self._environment = environment
        self._client: AgentClient | None = None
        self._turns: asyncio.Queue[TurnEnded] = asyncio.Queue()
        self._listener: asyncio.Task[None] | None = None
        self._nudges: asyncio.Task[None] | None = None

    async def run(self) -> Ending:
        """Do the whole run and return how it ended."""
        watcher = asyncio.create_task(watch(self._state))
        stopped = asyncio.create_task(self._state.stop.wait())
        work = asyncio.create_task(self._work())
        try:
            await asyncio.wait({work, stopped, watcher}, return_when=asyncio.FIRST_COMPLETED)
            if watcher.done() and watcher.exception() is not None:
                watcher.result()
            if not work.done():
                await self._wind_down(work)
            # What the agent reported holds, though the run was stopped before its turn was over.
            return self._state.report or self._state.ending or work.result()
        finally:
            for task in (watcher, stopped, work):
                task.cancel()
            await asyncio.wait({watcher, stopped, work})
            await self._stop_client()

    async def _work(self) -> Ending:
        try:
            return await self._set_up() or await self._converse()
        except ClientFailed as error:
            return Ending.of(error.failure)
        except UnknownProvider as error:
            return Ending(outcome="failed", code="invalid_request", message=str(error))

    async def _set_up(self) -> Ending | None:
        request = self._state.request
        if not request.setup_command:
            return None
        # No silence of the agent's: it has not begun. The command has a limit of its own.
        with self._state.hold():
            result = await commands.run_command(
                request.setup_command,
                cwd=Path(request.workspace),
                environment=self._environment,
                launcher=commands.launcher(),
            )
        self._state.journal.system("setup", command=result.command, exit_code=result.exit_code, text=result.text)
        if result.is_ok:
            return None
        message = f"$ {result.command}\nexit code {result.exit_code}\n{result.text}"
        return Ending(outcome="failed", code="setup_failed", message=message)

    async def _converse(self) -> Ending:
        client = await self._start_client()
        turn = await self._turn(client, self._state.request.prompt)
        if turn.failure is None and not turn.is_interrupted and not self._state.is_over:
            turn = await self._turn(client, NUDGE)
        if self._state.report is not None:
            return self._state.report
        if turn.failure is not None:
            return Ending.of(turn.failure)
        if turn.is_interrupted:
            return Ending(outcome="interrupted", message="The client was interrupted.")
        return Ending(outcome="unreported", message=turn.text or self._state.last_text)

    async def _start_client(self) -> AgentClient:
        request = self._state.request
        setup = ClientSetup(
            workspace=Path(request.workspace),
            scratch=self._state.directory.path,
            launcher=commands.launcher(),
            model=request.model,
            system_append=request.system_append,
            session_id=request.session_id,
            is_resumed=request.is_resumed,
            permission_mode=request.permission_mode,
            allowed_tools=tuple(request.allowed_tools),
            max_turns=request.max_turns,
            max_cost_usd=request.max_cost_usd,
            session_cost_usd=request.session_cost_usd,
        )
        handlers = Reports(self._state, environment=self._environment).handlers()
        policy = _AfterReport(self._state, WorktreePolicy(setup.workspace))
        self._client = contract.client_class(request.provider)(setup, handlers, policy)
        await self._client.start()
        self._listener = asyncio.create_task(self._listen(self._client))
        self._nudges = asyncio.create_task(nudges.pass_on(self._state, self._client))
        return self._client

    async def _turn(self, client: AgentClient, prompt: str) -> TurnEnded:
        await client.prompt(prompt)
        return await self._turns.get()

    async def _listen(self, client: AgentClient) -> None:
        """Write down what the client says; a listener that dies must not leave the run waiting for ever."""
        try:
            async for update in client.updates():
                self._hear(update)
        except Exception as error:
            log.exception("listener_failed")
            self._state.end(Ending(outcome="failed", code="protocol", message=f"{type(error).__name__}: {error}"))

    def _hear(self, update: Update) -> None:
        state = self._state
        state.heard = time.monotonic()
        state.journal.record(update)
        match update:
            case contract.SessionStarted(session_id=session_id):
                state.session_id = session_id
            case contract.UsageChanged(usage=usage):
                state.usage = usage
            case contract.Text(text=text):
                state.last_text = text
            case contract.ToolCall(id=call):
                state.open_calls.add(call)
            case contract.ToolResult(id=call):
                state.open_calls.discard(call)
            case contract.TurnEnded():
                self._turns.put_nowait(update)

    async def _wind_down(self, work: asyncio.Task[Ending]) -> None:
        """Bring the turn to an end, so that the session is good to resume and its cost is known."""
        if self._client is None or self._listener is None:
            return
        if self._state.ending is not None and self._state.ending.can_wait:
            await self._reach_safe_point()
        # The client may have ended its turn, or have died, in this moment.
        with suppress(ClientFailed, TimeoutError):
            async with asyncio.timeout(TURN_END_S):
                await self._client.interrupt()
                await asyncio.wait({work})

    async def _reach_safe_point(self) -> None:
        """Wait a while for the tools that run: half a command is worth less than a whole one."""
        until = time.monotonic() + SAFE_POINT_S
        while self._state.open_calls and not self._state.holds and time.monotonic() < until:  # noqa: ASYNC110  (three conditions, one of them the clock)
            await asyncio.sleep(POLL_S)

    async def _stop_client(self) -> None:
        if self._nudges is not None:
            self._nudges.cancel()
            await asyncio.wait({self._nudges})
        try:
            if self._client is not None:
                if self._state.remarks:
                    # One that came too late for its turn has begun another, which nobody waits for.
                    await self._client.interrupt()
                await self._client.stop()
        except Exception:
            # How the run ended is known; whatever is left of the client is swept up with the rest.
            log.exception("client_stop_failed")
        if self._listener is not None:
            await asyncio.wait({self._listener}, timeout=TURN_END_S)
            self._listener.cancel()


class _AfterReport:
    """The policy, and on top of it: whoever has reported is through. What the checks saw is what is handed in."""

    def __init__(self, state: RunState, policy: contract.PermissionPolicy) -> None:
        self._state = state
        self._policy = policy

    async def __call__(self, tool_name: str, given: Mapping[str, object]) -> str | None:
        if self._state.is_over:
            return "You have reported already. End your turn now."
        return await self._policy(tool_name, given)
